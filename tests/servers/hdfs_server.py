"""HDFS: a name node and a data node in one process."""

from __future__ import annotations

import getpass
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.java import find_jars, find_java
from tests.servers.server import LOOPBACK, Process, Server, ServerFailed, free_port, started

_HADOOP_LOGGING = """\
log4j.rootLogger=WARN,out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %c{1}: %m%n
"""


class HdfsServer(Server):
    """A name node and a data node in one process: Hadoop's mini cluster. It believes whoever says who he is."""

    def __init__(self, directory: Path, *, heap_mb: int = 256) -> None:
        self._java = find_java()
        self._classpath = os.pathsep.join(str(jar) for jar in find_hadoop_jars())
        self._directory = directory
        self._heap_mb = heap_mb
        self.process = Process(directory / "hdfs.log")
        self.port = free_port()
        (directory / "log4j.properties").write_text(_HADOOP_LOGGING)

    def start(self) -> None:
        """Returns when files can be written. ServerFailed with its last log lines."""
        options = [f"-Xmx{self._heap_mb}m", "-XX:+UseSerialGC", "-XX:-UsePerfData"]
        # Its web server makes classes in a way that Java 17 forbids.
        options += ["--add-opens=java.base/java.lang=ALL-UNNAMED"]
        options += [f"-Dlog4j.configuration=file:{self._directory / 'log4j.properties'}"]
        options += [f"-Dtest.build.data={self._directory / 'data'}", f"-Dhadoop.log.dir={self._directory}"]
        cluster = ["org.apache.hadoop.test.MiniDFSClusterManager", "-format", "-datanodes", "1"]
        cluster += ["-nnport", "0", "-httpport", str(self.port), "-cmdport", "0"]
        cluster += ["-writeDetails", str(self._directory / "started.json")]
        self.process.start([self._java, *options, *cluster], self._directory, {"CLASSPATH": self._classpath})
        try:
            self.process.wait_until((self._directory / "started.json").exists)  # written when both nodes serve
        except ServerFailed:
            self.process.end()
            raise

    def kill(self) -> None:
        self.process.end()


def hdfs_address(folder: str, port: int) -> str:
    """As `FANFOLD_SNAPSHOTS` names a folder of a cluster on loopback."""
    return f"webhdfs://{getpass.getuser()}@{LOOPBACK}:{port}/{folder}"


@contextmanager
def running_hdfs() -> Iterator[HdfsServer]:
    """A private, empty HDFS; its data is gone afterwards. ServerMissing, ServerFailed."""
    with tempfile.TemporaryDirectory(prefix="fanfold-hdfs-", ignore_cleanup_errors=True) as directory:
        server = started(HdfsServer, Path(directory))
        try:
            yield server
        finally:
            server.kill()


def find_hadoop_jars() -> list[Path]:
    """The jars listed in deploy/lock/hadoop-jars.txt, where servers.sh puts them; ServerMissing when one is absent."""
    return find_jars("hadoop", "hadoop-hdfs-client-")
