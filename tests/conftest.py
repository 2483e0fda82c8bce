"""Fixtures that every test may use: real servers, started on first use and shared where that is harmless."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import pytest
from hypothesis import settings

from deploy.compiled_first import compile_all
from deploy.serving import end_tasks
from tests.hung import EndsWhatHangs
from tests.servers import (
    EnvoyServer,
    HdfsServer,
    KafkaCluster,
    KafkaServer,
    NginxServer,
    PostgresServer,
    RedisServer,
    S3Server,
    ServerMissing,
    ZooKeeperEnsemble,
    ZooKeeperServer,
    find_chromium,
    running_envoy,
    running_hdfs,
    running_kafka,
    running_kafka_cluster,
    running_nginx,
    running_postgres,
    running_redis,
    running_redis_cluster,
    running_s3,
    running_zookeeper,
    running_zookeeper_ensemble,
    shared_kafka,
    shared_redis,
)

T = TypeVar("T")

S3_KEY_ID = "AKIATESTSTESTSTESTS7"
S3_SECRET = "secret-of-the-tests"
"""Who we are at the S3 of the tests. It must be seen nowhere."""


settings.register_profile("fanfold", deadline=None)
settings.load_profile("fanfold")
"""How long an example takes says how busy the machine is: what hangs is ended (`hung.py`)."""


def pytest_configure(config: pytest.Config) -> None:
    errors = os.fdopen(os.dup(2), "w")
    config.add_cleanup(errors.close)
    config.pluginmanager.register(EndsWhatHangs(errors))
    if not hasattr(config, "workerinput"):  # workers send their reports to the process that has a terminal
        config.pluginmanager.register(_NamesAtOnce(config))


class _NamesAtOnce:
    """Whoever looks on at a run of half an hour reads what failed when it fails, and not at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and terminal is not None:
            terminal.write_line(f" {report.when} of {report.nodeid} failed")


@contextmanager
def _or_skip(server: Callable[[], AbstractContextManager[T]]) -> Iterator[T]:
    """The server; when it is not installed, a skipped test that says so, and under CI=true a failed one."""
    with _missing_skips():
        manager = server()
        value = manager.__enter__()
    try:
        yield value
    finally:
        manager.__exit__(None, None, None)


@contextmanager
def _missing_skips() -> Iterator[None]:
    try:
        yield
    except ServerMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI=true allows no skipped test: {missing}", pytrace=False)
        pytest.skip(str(missing))


def pytest_collection_finish() -> None:
    """What all tests have imported stays to the end: 620,000 objects, in which each full pass looked for garbage for 0.35 s."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def _nothing_stays_frozen() -> Iterator[None]:
    """A service keeps what its start has made out of the collector's passes, for the life of its process. This process
    has the lives of a thousand services: what each of them left would stay for ever."""
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    yield
    gc.set_threshold(*before)
    if gc.get_freeze_count() > frozen:
        gc.unfreeze()
        gc.collect()
        gc.freeze()


@pytest.fixture
def _function_scoped_runner(_function_scoped_runner: asyncio.Runner) -> Iterator[asyncio.Runner]:
    """pytest-asyncio's own, ended as our processes end theirs: its close cancels what is left once and waits for ever."""
    yield _function_scoped_runner
    end_tasks(_function_scoped_runner.get_loop())


@pytest.fixture(scope="session")
def kafka_bootstrap() -> Iterator[str]:
    """`host:port` of a real broker shared by the whole run. Create your own topics: `tests.servers.unique_name`."""
    with _or_skip(shared_kafka) as bootstrap:
        yield bootstrap


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """URL of a real Redis shared by the whole run. Prefix your keys with a `unique_name`; never flush it."""
    with _or_skip(shared_redis) as url:
        yield url


@pytest.fixture(scope="session")
def redis_cluster_url() -> Iterator[str]:
    """URL of one node of a real Redis Cluster of three, shared by the whole run. Prefix your keys with a `unique_name`."""
    with _or_skip(running_redis_cluster) as url:
        yield url


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A real Redis of this test's own, to be flushed, stopped, emptied and set back."""
    with _or_skip(running_redis) as server:
        yield server


@pytest.fixture
def kafka_server() -> Iterator[KafkaServer]:
    """A real broker of this test's own, to be stopped, killed and paused. Takes seconds: prefer `kafka_bootstrap`."""
    with _or_skip(lambda: running_kafka(short_lived=True)) as server:
        yield server


@pytest.fixture(scope="module")
def kafka_cluster() -> Iterator[KafkaCluster]:
    """Three real brokers of this file's own, each to be killed, paused and started again. Takes some 15 s: take topics of
    your own, and begin with `all_there`."""
    with _or_skip(lambda: running_kafka_cluster(short_lived=True)) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def _s3_of_the_run() -> Iterator[S3Server]:
    with running_s3() as server:
        yield server


@pytest.fixture
def s3_server(_s3_of_the_run: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """A local S3 shared by the whole run, and the environment that says who we are there. Take buckets of your own."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", S3_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", S3_SECRET)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return _s3_of_the_run


@pytest.fixture(scope="session")
def hdfs_server() -> Iterator[HdfsServer]:
    """Hadoop's mini cluster, shared by the whole run: take folders of your own (`unique_name`), and resume what you pause."""
    with _or_skip(running_hdfs) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_servers() -> Iterator[list[PostgresServer]]:
    """Two real PostgreSQL nodes shared by the whole run: make databases of your own, and start what you kill."""
    with _or_skip(lambda: running_postgres(2)) as servers:
        yield servers


@pytest.fixture(scope="session")
def zookeeper_server() -> Iterator[ZooKeeperServer]:
    """A real ZooKeeper shared by the whole run: take paths of your own (`unique_name`), and start what you kill."""
    with _or_skip(running_zookeeper) as server:
        yield server


@pytest.fixture
def zookeeper_ensemble() -> Iterator[ZooKeeperEnsemble]:
    """Three real servers of one ZooKeeper, of this test's own, each to be killed."""
    with _or_skip(running_zookeeper_ensemble) as ensemble:
        yield ensemble


@pytest.fixture
def nginx_with() -> Callable[[str, dict[str, bytes]], AbstractContextManager[NginxServer]]:
    """A real nginx with a site and files, as `tests.servers.running_nginx` takes them."""
    return lambda site, files: _or_skip(lambda: running_nginx(site, files))


@pytest.fixture
def envoy_with() -> Callable[[str, dict[str, bytes]], AbstractContextManager[EnvoyServer]]:
    """A real Envoy with a configuration and files, as `tests.servers.running_envoy` takes them."""
    return lambda config, files: _or_skip(lambda: running_envoy(config, files))


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Path of the system's Chromium, for Playwright's `executable_path`."""
    with _missing_skips():
        return str(find_chromium())
    raise AssertionError("unreachable")


@pytest.fixture(scope="session", autouse=True)
def compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compile the rules before the first test, not within the deadline of one: a minute or more after they have changed.

    One worker of a run compiles, the others load what it made.
    """
    with (tmp_path_factory.getbasetemp().parent / "compiled.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        compile_all()
