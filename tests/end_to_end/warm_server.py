"""A process that has imported and compiled what a service needs, and becomes one for each that is asked for.

What a start costs beside its log (2.4 s of processor time for imports and for loading compiled loops) was paid some five hundred
times in a test run. A child made here begins where `python -m fanfold.cli.main` calls `main()`: its arguments, environment,
folder and streams are its own, so is everything that it does from there on, its death by kill -9 too.

Asked over a socket, one message a child: JSON of what it is, and four descriptors: standard input, output and error, and a pipe
into which the code is written with which it ended.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Final

MESSAGE_BYTES_MAX: Final = 1 << 20
DESCRIPTORS: Final = 4


def serve(asked: socket.socket) -> list[str] | None:
    """Make children until nobody asks any more: None then, and in a child the arguments of its command."""
    ended: dict[int, tuple[int, int]] = {}  # by the descriptor that says that it ended: its id, and who is told
    poll = select.poll()
    poll.register(asked, select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready != asked.fileno():
                poll.unregister(ready)
                os.close(ready)
                _tell(*ended.pop(ready))
                continue
            message, descriptors, _, _ = socket.recv_fds(asked, MESSAGE_BYTES_MAX, DESCRIPTORS)
            if not message:
                return None
            what = json.loads(message)
            if (child := os.fork()) == 0:
                for descriptor in (asked.fileno(), *ended, *(told for _, told in ended.values())):
                    os.close(descriptor)
                return _become(what, descriptors)
            *streams, told = descriptors
            for stream in streams:
                os.close(stream)
            watched = os.pidfd_open(child)
            ended[watched] = (child, told)
            poll.register(watched, select.POLLIN)
            asked.send(str(child).encode())


def _tell(child: int, told: int) -> None:
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
        os.write(told, str(os.waitstatus_to_exitcode(status)).encode())
    os.close(told)


def _become(what: dict[str, Any], descriptors: list[int]) -> list[str]:
    *streams, told = descriptors
    os.close(told)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(what["environment"])
    os.chdir(what["folder"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    arguments: list[str] = what["arguments"]
    return arguments


def warm_up() -> None:
    """Import and compile. No thread of Python's runs after it, so that a copy of this process lacks none."""
    import deploy.one_process
    import deploy.services  # noqa: F401
    from deploy.compiled_first import compile_all

    compile_all()
    gc.collect()
    gc.freeze()  # shared with every child for as long as nobody writes to it, as the collector's marks do


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the tests, which end this process then
    asked = socket.socket(fileno=int(sys.argv[1]))
    warm_up()
    arguments = serve(asked)
    if arguments is None:
        return
    from fanfold.cli import main

    sys.argv, sys.modules["__main__"] = [str(Path(main.__file__)), *arguments], main  # what a usage names
    main.main()


if __name__ == "__main__":
    _main()
