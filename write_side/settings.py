"""What the write side can be told. Every variable is read from the environment with the prefix `FANFOLD_`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from write_side.contract.block.limits import PARTITIONS_MAX, ROWS_MAX
from write_side.contract.words.times import time_us
from write_side.owner.lost_commands import LostCommands, read_lost_commands

IDS_MAX_MOST = 2**40
"""64 TiB of ids: more than any machine holds, and numbers in the compiled loops stay far from their end."""


class WriteSettings(BaseSettings):
    """Defaults serve one process on one machine."""

    model_config = SettingsConfigDict(env_prefix="FANFOLD_", env_ignore_empty=True, extra="ignore")

    data: str = Field("./data", description="folder of the file log; over Kafka of the files of topics")
    log: str = Field(
        "", description="`file:FOLDER` (default: file: and FANFOLD_DATA) or `kafka://host:9092[,host:9092]`"
    )
    partitions: int | None = Field(
        None, ge=1, le=PARTITIONS_MAX, description="partitions of a new log (1); an old one must have them"
    )
    topic: str = Field("fanfold", description="Kafka topics are named `<topic>.events` and `<topic>.commands`")
    replication: int = Field(3, ge=1, description="replicas that a Kafka topic must have; 1 with a single broker")
    min_in_sync: int = Field(
        2, ge=1, description="replicas that must have a block before it counts; 1 with a single broker"
    )
    own_partitions: Annotated[str, NoDecode] = Field(
        "", description="partitions this process writes, `0,2`; empty: all"
    )
    write_port: int = Field(8081, ge=0, le=65535, description="port of `fanfold write-side` on loopback")
    block_commands_max: int = Field(8_192, ge=1, le=ROWS_MAX, description="commands decided in one block")
    ids_max: int = Field(
        16_777_216, ge=1024, le=IDS_MAX_MOST, description="transfer ids remembered a partition (64 bytes each)"
    )
    max_clock_step_ms: int = Field(5_000, ge=1, description="a writer stops when the clock jumps further, milliseconds")
    accept_log_time: str = Field(
        "",
        description="a log whose last block is ahead of the clock is gone on with up to this time, 2027-01-31T12:00:00Z; "
        "only when a clock was ahead once and is right now; `fanfold log clock` tells which",
    )
    ids: str = Field(
        "",
        description="where every id that ever ran is kept, 42 bytes each, so that it never runs again: `file:FOLDER`, or `off` "
        "(an id without a time is then remembered for 7 days); default: the folder `ids` in the data folder of a file log, "
        "`off` over Kafka",
    )
    snapshots: str = Field(
        "",
        description="where snapshots are kept, so that a start folds only what came since: `file:FOLDER`, `s3://BUCKET/FOLDER` "
        "(`?region=…`, or `?endpoint_override=HOST:PORT&scheme=http`; keys as AWS's tools find them), "
        "`webhdfs://HOST:PORT/FOLDER`, or `off`; default: the folder `snapshots` in the data folder of a file log, `off` over "
        "Kafka",
    )
    log_archive: str = Field(
        "",
        description="where copies of the log are kept, so that the log itself can be trimmed (`fanfold trim`) and is still read "
        "from its first block on: `file:FOLDER`, `s3://BUCKET/FOLDER` or `webhdfs://HOST:PORT/FOLDER` as for snapshots, the same "
        "for every process over one log; default `off`: there are none, and nothing is trimmed",
    )
    snapshot_blocks: int = Field(
        250_000, ge=100, le=10**9, description="a snapshot is taken after so many blocks of a partition"
    )
    snapshot_minutes: int = Field(
        60, ge=1, le=10_080, description="and after so many minutes, when there are 100 new blocks"
    )
    snapshots_kept: int = Field(2, ge=1, le=1_000, description="snapshots of a partition that stay, the newest")
    snapshots_kept_days: float = Field(
        0.0,
        ge=0,
        le=3_650,
        description="older ones stay as well until they are so many days older than the newest; 0: they go",
    )
    commands_kept_minutes: Annotated[int, Field(ge=0, le=525_600)] | Literal["off"] = Field(
        60,
        description="records of `<topic>.commands` are deleted so many minutes after a block has consumed them; off: never",
    )
    accept_lost_commands: str = Field(
        "",
        description="a partition whose topic of commands has lost records before they were decided is gone on with when it and "
        "they are named here, `2:1000-1200`, as its refusal says",
    )
    answer_wait_ms: int = Field(10_000, ge=100, description="how long a request waits for its outcome, milliseconds")

    @property
    def log_address(self) -> str:
        return self.log or f"file:{self.data}"

    @property
    def data_folder(self) -> Path:
        """Where what this process keeps beside the log is: the folder of a file log; over Kafka FANFOLD_DATA."""
        scheme, _, folder = self.log_address.partition(":")
        return Path(folder if scheme == "file" else self.data)

    @property
    def snapshots_address(self) -> str | None:
        """None: none are taken or looked for."""
        if self.snapshots:
            return None if self.snapshots == "off" else self.snapshots
        scheme, _, folder = self.log_address.partition(":")
        return f"file:{folder}/snapshots" if scheme == "file" else None

    @property
    def log_archive_address(self) -> str | None:
        """None: no copies of the log are made or looked for."""
        return None if self.log_archive in ("", "off") else self.log_archive

    def ids_folder(self) -> Path | None:
        """None: nothing but the memory of ids remembers them. Raises ValueError for an address that names no folder."""
        if self.ids == "off":
            return None
        scheme, _, folder = (self.ids or self.log_address).partition(":")
        if not self.ids:
            return Path(folder) / "ids" if scheme == "file" else None
        if scheme != "file" or not folder.strip("/") or folder.startswith("~"):
            raise ValueError("FANFOLD_IDS must be off, or file: and the path of a folder")
        return Path(folder.removeprefix("//"))

    def accepted_log_time_us(self) -> int:
        """UTC microseconds, 0 when no time is accepted. Raises ValueError for what is no time with its zone."""
        if not self.accept_log_time:
            return 0
        try:
            accepted = datetime.fromisoformat(self.accept_log_time)
        except ValueError:
            accepted = None
        if accepted is None or accepted.tzinfo is None:
            raise ValueError("FANFOLD_ACCEPT_LOG_TIME must be a time with its zone, such as 2027-01-31T12:00:00Z")
        return time_us(accepted)

    def commands_kept_us(self) -> int | None:
        """Microseconds; None: for ever."""
        return None if self.commands_kept_minutes == "off" else self.commands_kept_minutes * 60_000_000

    def accepted_losses(self) -> frozenset[LostCommands]:
        """Raises ValueError."""
        return read_lost_commands(self.accept_lost_commands)

    def owned(self, partitions: int) -> list[int]:
        """The partitions to write. Raises ValueError for one the log does not have, and for what is no number."""
        if not self.own_partitions:
            return list(range(partitions))
        try:
            owned = sorted({int(part) for part in self.own_partitions.split(",")})
        except ValueError:
            raise ValueError("FANFOLD_OWN_PARTITIONS must be numbers of partitions, such as 0,2") from None
        if owned[0] < 0 or owned[-1] >= partitions:
            raise ValueError(f"FANFOLD_OWN_PARTITIONS names a partition outside 0..{partitions - 1}")
        return owned
