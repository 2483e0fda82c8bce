"""The store in HDFS, by its REST API: `webhdfs://[USER@]HOST:PORT/FOLDER`, HOST the name node or a gateway that speaks like it.

Who we are is the user of the address, HADOOP_USER_NAME or the user of this process: what a cluster without Kerberos believes.
"""

from __future__ import annotations

import getpass
import os
from typing import Final
from urllib.parse import urlsplit

from pyarrow.fs import FileSystem

from write_side.contract.snapshots.store_remote import RemoteStore

_WRITE: Final = "write webhdfs://HOST:PORT/FOLDER with the name node's web port, which is 9870 by default"


def hdfs_store(address: str) -> RemoteStore:
    """The store that an address names. Makes no connection. Raises ValueError with what to write instead."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise ValueError(f"its address cannot be read; {_WRITE}") from None
    if parts.password is not None:
        raise ValueError(f"its address holds a password, which WebHDFS has no use for; {_WRITE}")
    if parts.query or parts.fragment:
        raise ValueError(f"its address has options, and HDFS has none; {_WRITE}")
    folder = parts.path.strip("/")
    if not parts.hostname or port is None or not folder:
        raise ValueError(f"its address is not complete; {_WRITE}")
    host, root = parts.hostname, f"/{folder}"

    def connect(silent_s: float) -> FileSystem:
        # Here, because it takes a tenth of a second that nobody else has to wait.
        from write_side.contract.snapshots.store_hdfs_files import web_hdfs

        return web_hdfs(host, port, parts.username or os.environ.get("HADOOP_USER_NAME") or getpass.getuser(), silent_s)

    return RemoteStore(f"webhdfs://{host}:{port}{root}", root, connect)
