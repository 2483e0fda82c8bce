"""Real servers for tests and benchmarks: Redis, PostgreSQL, ZooKeeper, nginx, Envoy, a one-node Kafka, S3 and HDFS, on loopback,
on free ports.

Usable without pytest: `with running_kafka() as kafka: kafka.bootstrap` and `with running_redis() as server: server.url`
give a private server; `shared_kafka()` and `shared_redis()` give an address, of the server that `KAFKA_BOOTSTRAP` or
`REDIS_URL` names when there is one, of a private one otherwise. `make install-servers` installs what is started here;
where it is missing, `ServerMissing` says what to do.

No server outlives the process that started it, even after a kill -9: the kernel kills it when the thread that started
it ends (Linux, `PR_SET_PDEATHSIG`). So start and restart servers from the main thread, or one that lives as long.
"""

from __future__ import annotations

from tests.servers.chromium import find_chromium
from tests.servers.envoy_server import EnvoyServer, find_envoy, running_envoy
from tests.servers.hdfs_server import HdfsServer, find_hadoop_jars, hdfs_address, running_hdfs
from tests.servers.java import find_java
from tests.servers.kafka_server import (
    KafkaCluster,
    KafkaServer,
    find_kafka_jars,
    make_topic,
    running_kafka,
    running_kafka_cluster,
    shared_kafka,
)
from tests.servers.nginx_server import NginxServer, find_nginx, running_nginx
from tests.servers.postgres_server import PostgresServer, find_postgres, running_postgres
from tests.servers.redis_server import RedisServer, find_redis, running_redis, running_redis_cluster, shared_redis
from tests.servers.s3_server import S3Server, running_s3, s3_address
from tests.servers.server import LOOPBACK, POLL_S, ServerFailed, ServerMissing, free_port, unique_name
from tests.servers.zookeeper_server import (
    ZooKeeperEnsemble,
    ZooKeeperServer,
    running_zookeeper,
    running_zookeeper_ensemble,
)

__all__ = [
    "LOOPBACK",
    "POLL_S",
    "EnvoyServer",
    "HdfsServer",
    "KafkaCluster",
    "KafkaServer",
    "NginxServer",
    "PostgresServer",
    "RedisServer",
    "S3Server",
    "ServerFailed",
    "ServerMissing",
    "ZooKeeperEnsemble",
    "ZooKeeperServer",
    "find_chromium",
    "find_envoy",
    "find_hadoop_jars",
    "find_java",
    "find_kafka_jars",
    "find_nginx",
    "find_postgres",
    "find_redis",
    "free_port",
    "hdfs_address",
    "make_topic",
    "running_envoy",
    "running_hdfs",
    "running_kafka",
    "running_kafka_cluster",
    "running_nginx",
    "running_postgres",
    "running_redis",
    "running_redis_cluster",
    "running_s3",
    "running_zookeeper",
    "running_zookeeper_ensemble",
    "s3_address",
    "shared_kafka",
    "shared_redis",
    "unique_name",
]
