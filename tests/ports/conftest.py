"""Where the suites of a port meet its adapters."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import HdfsServer, S3Server, hdfs_address, s3_address, unique_name

SNAPSHOT_STORES = [
    "file",
    pytest.param("s3", marks=pytest.mark.s3),
    pytest.param("hdfs", marks=[pytest.mark.hdfs, pytest.mark.slow]),
]


@pytest.fixture(params=SNAPSHOT_STORES)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a place for snapshots where nothing is yet."""
    if request.param == "file":
        return f"file:{tmp_path}/made/when needed"
    if request.param == "hdfs":
        hdfs: HdfsServer = request.getfixturevalue("hdfs_server")
        return hdfs_address(f"{unique_name('made')}/when needed", hdfs.port)
    server: S3Server = request.getfixturevalue("s3_server")
    return s3_address(server.new_bucket(), "made/when needed", server.port)
