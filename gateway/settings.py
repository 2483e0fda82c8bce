"""What the gateway can be told. Every variable is read from the environment with the prefix `FANFOLD_`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from fanfold.api.requests import BATCH_BYTES_MAX


class GatewaySettings(BaseSettings):
    """Defaults serve one process on one machine."""

    model_config = SettingsConfigDict(env_prefix="FANFOLD_", env_ignore_empty=True, extra="ignore")

    write_url: str = Field("http://127.0.0.1:8081", description="the write side, when it is another process")
    read_url: str = Field("http://127.0.0.1:8082", description="the read side, when it is another process")
    upstream_connect_ms: int = Field(2_000, ge=1, description="how long connecting to a side may take, milliseconds")
    upstream_silence_ms: int = Field(
        45_000,
        ge=1,
        description=(
            "how long the write side may say nothing before and during an answer, milliseconds; longer than a client may let it "
            "wait (`Prefer: wait=30`, and 10 s more for its own block), or a transfer under way would be told as no answer"
        ),
    )
    upstream_read_silence_ms: int = Field(
        15_000,
        ge=1,
        description=(
            "the same of the read side; longer than a client may let it wait (`wait_ms`, 10 s at most), and no longer than "
            "needed: so long a read waits for a read side that hangs, before it is told so"
        ),
    )
    request_bytes_max: int = Field(8 * 1024 * 1024, ge=1, description="largest body of a REST request, bytes")
    allowed_origins: Annotated[str, NoDecode] = Field(
        "", description="other web origins whose pages may open the stream, `https://a.example,https://b.example`"
    )
    stream_connections_max: int = Field(20_000, ge=1, description="open streams of this process; more are told 503")
    stream_subscriptions_max: int = Field(1_000, ge=1, description="accounts one stream may watch")
    stream_message_bytes_max: int = Field(256 * 1024, ge=1024, description="largest message of a client, bytes")
    stream_buffer_bytes: int = Field(
        64 * 1024,
        ge=1024,
        le=1 << 30,
        description="unsent bytes of one stream at which newer balances replace unsent ones",
    )
    stream_submit_bytes_max: int = Field(
        1024 * 1024,
        ge=1024,
        le=BATCH_BYTES_MAX,
        description=(
            "commands of one stream that may wait while others of it are under way, bytes (and as many as a batch has lines); "
            "more are told `overloaded`, and nothing of them is done"
        ),
    )
    submit_bytes_max: int = Field(
        128 * 1024 * 1024,
        ge=1024,
        description="the same of all streams of this process together, with those that are under way, bytes",
    )
    stream_drain_ms: int = Field(
        2_500,
        ge=0,
        description=(
            "how long a gateway that stops waits for the answers to a stream's commands under way before it closes the stream, "
            "milliseconds; with `FANFOLD_STREAM_CLOSE_MS` less than the 5 s that open requests have"
        ),
    )
    stream_ping_ms: int = Field(20_000, ge=10, description="a stream is pinged this often, milliseconds")
    stream_pong_ms: int = Field(20_000, ge=10, description="and ends when nothing came back for so long, milliseconds")
    stream_close_ms: int = Field(
        2_000, ge=1, description="how long a closing stream waits for its client, milliseconds"
    )
    snapshot_wait_ms: int = Field(5_000, ge=1, description="how long a subscribe waits for the balances, milliseconds")
    cut_wait_ms: int = Field(
        1_500, ge=0, description="how long a snapshot waits for the feed to reach its position, milliseconds"
    )
    feed_silence_ms: int = Field(
        3_500, ge=1, description="a feed silent for so long (three heartbeats) counts as lagging, milliseconds"
    )

    @property
    def origins(self) -> frozenset[str]:
        return frozenset(origin.strip() for origin in self.allowed_origins.split(",") if origin.strip())
