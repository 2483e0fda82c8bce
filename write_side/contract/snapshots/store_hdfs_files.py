"""fsspec's WebHDFS as a file system of Arrow, where it must not be believed as it is.

As it comes it waits for ever, takes a data node's complaint for the bytes of a file, a name node that is away for an empty
folder, and a rename that was refused for one that was done.
"""

from __future__ import annotations

from typing import Any, Final

import requests
from fsspec.implementations.webhdfs import WebHDFS
from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem
from requests.adapters import HTTPAdapter

from write_side.contract.snapshots.store_remote import CONNECT_S

PART_BYTES: Final = 1 << 23
"""Gathered before they are sent: each time a file in HDFS is opened again, added to and closed."""


def web_hdfs(host: str, port: int, user: str, silent_s: float) -> FileSystem:
    """The files of a cluster. silent_s: how long each of its nodes may say nothing. Makes no connection."""
    files = _WebHDFS(host, port, user=user, skip_instance_cache=True)
    files.answer_within(silent_s)
    return PyFileSystem(FSSpecHandler(files))


class _Answers(HTTPAdapter):
    """Requests that end, and raise what is an error: of name nodes and of data nodes, to which they send on."""

    def __init__(self, silent_s: float) -> None:
        super().__init__()
        self._silent_s = silent_s

    def send(self, request: Any, **options: Any) -> Any:  # type: ignore[override]
        response = super().send(request, **options | {"timeout": (CONNECT_S, self._silent_s)})
        if response.status_code < 400:
            return response
        try:
            remote = response.json()["RemoteException"]
            kind, message = str(remote["exception"]), str(remote["message"]).partition("\n")[0]
        except (ValueError, KeyError, TypeError, OSError):
            kind, message = "", f"HTTP Status Code: {response.status_code}"
        if kind == "FileNotFoundException":
            raise FileNotFoundError(message)
        if kind in ("AccessControlException", "SecurityException"):
            raise PermissionError(message)
        raise OSError(f"{kind} {message}".strip())


class _WebHDFS(WebHDFS):  # type: ignore[misc]  # fsspec has no types
    blocksize = PART_BYTES

    def answer_within(self, silent_s: float) -> None:
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, _Answers(silent_s))

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        """In one step, over what is there. Raises FileExistsError where a gateway does not know how."""
        answer: requests.Response = self._call(
            "RENAME", method="put", path=path1, destination=path2, renameoptions="OVERWRITE"
        )
        if answer.content and answer.json().get("boolean") is False:
            raise FileExistsError("it renamed nothing: a file of that name is there, and it does not replace files")

    def find(self, path: str, **_: Any) -> dict[str, Any]:
        return {info["name"]: info for info in self.ls(path, detail=True)}

    def exists(self, path: str, **_: Any) -> bool:
        return self._kind(path) is not None

    def isdir(self, path: str) -> bool:
        return self._kind(path) == "directory"

    def isfile(self, path: str) -> bool:
        return self._kind(path) == "file"

    def _kind(self, path: str) -> str | None:
        try:
            return str(self.info(path)["type"])
        except FileNotFoundError:
            return None

    @classmethod
    def _process_info(cls, info: dict[str, Any]) -> dict[str, Any]:
        info["mtime"] = info["modificationTime"] / 1_000  # milliseconds; in place, as what lists files expects it
        processed: dict[str, Any] = super()._process_info(info)
        return processed
