"""What the gateway can be told. Every variable is read from the environment with the prefix `FANFOLD_`."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from fanfold.api.requests import BATCH_BYTES_MAX
from gateway.arrivals.forwarded import TrustedProxies
from gateway.identity.algorithms import ALGORITHMS
from gateway.limits.terms import UNLIMITED, Limits
from gateway.protocol.prefixes.prefix_subscription import PrefixWatchers

_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._\-\[\]:]+\Z", re.ASCII)


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
    upstream_total_ms: int = Field(
        300_000,
        ge=1,
        description=(
            "how long a request to a side in another process may take in all, milliseconds: its body as it comes, and its answer "
            "as it is taken; the largest body then comes at 28 KB/s or more"
        ),
    )
    upstream_failures_max: int = Field(
        5,
        ge=1,
        description=(
            "a side in another process that gave no answer so often in a row, to anything, is not asked for a moment: requests "
            "are told at once that nothing was done"
        ),
    )
    upstream_pause_ms: int = Field(
        1_000,
        ge=1,
        le=60_000,
        description="how long that moment is, milliseconds; then the gateway itself asks whether the side is there",
    )
    trusted_proxies: Annotated[str, NoDecode] = Field(
        "",
        description=(
            "networks or addresses of the proxies in front, `10.0.0.0/8,192.0.2.7`: what they say of a client's address and "
            "scheme is believed, of nobody else; empty: nobody is in front"
        ),
    )
    forwarded_header: Literal["x-forwarded-for", "forwarded"] = Field(
        "x-forwarded-for",
        description=(
            "what those proxies write: `x-forwarded-for` (with `X-Forwarded-Proto`), or `forwarded` (RFC 7239); the other one is "
            "ignored, for a proxy that does not write it may pass on what a client made up"
        ),
    )
    access_log: Literal["auto", "on", "off"] = Field(
        "auto",
        description="one JSON line a request on standard output; `auto`: where it is asked who asks (FANFOLD_AUTH)",
    )
    request_bytes_max: int = Field(8 * 1024 * 1024, ge=1, description="largest body of a REST request, bytes")
    allowed_origins: Annotated[str, NoDecode] = Field(
        "",
        description=(
            "other web origins whose pages may open the stream and ask everything else (CORS), "
            "`https://a.example,https://b.example`; `*` for all"
        ),
    )
    stream_connections_max: int = Field(20_000, ge=1, description="open streams of this process; more are told 503")
    stream_subscriptions_max: int = Field(1_000, ge=1, description="accounts one stream may watch")
    stream_prefixes: PrefixWatchers = Field(
        "all",
        description=(
            "who may watch all accounts with a prefix: `all` who may read all with it; `system`, who has that right as well; "
            "`nobody`. Whoever watches one, however small, makes this gateway take every change of everybody from the feed"
        ),
    )
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
    drain_ms: int = Field(
        10_000,
        ge=0,
        le=3_600_000,
        description="over so long a `POST /drain` of the admin port spreads the ends of streams, milliseconds",
    )
    stream_ping_ms: int = Field(20_000, ge=10, description="a stream is pinged this often, milliseconds")
    stream_pong_ms: int = Field(20_000, ge=10, description="and ends when nothing came back for so long, milliseconds")
    stream_heartbeat_ms: int = Field(
        15_000,
        ge=10,
        description="a stream that was told nothing for so long hears a heartbeat, milliseconds",
    )
    stream_age_max_s: int = Field(
        86_400,
        ge=0,
        description=(
            "a stream ends at this age (between 90 and 100 % of it, so that those of one moment do not end in one), and its "
            "client connects again, seconds; 0: never"
        ),
    )
    stream_return_ms: int = Field(
        5_000,
        ge=0,
        description="clients of a gateway that stops are told to come back at times spread over so long, milliseconds",
    )
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

    auth: Literal["off", "tokens"] = Field(
        "off",
        description=(
            "`off`: nobody is asked who asks, and the gateway listens on this machine only; `tokens`: tokens of "
            "FANFOLD_AUTH_KEYS, keys "
            "of FANFOLD_API_KEYS"
        ),
    )
    auth_keys: str = Field(
        "",
        description="what tokens are signed with: `file:PATH` (JWKS, or public keys in PEM), or `https://...` of a JWKS",
    )
    auth_issuer: str = Field("", description="what tokens must say as `iss`")
    auth_audience: str = Field("", description="what tokens must say as `aud`, alone or among others")
    auth_algorithms: Annotated[str, NoDecode] = Field(
        "EdDSA,ES256,RS256", description="which may sign tokens; `HS256` is for secrets of 32 bytes or more in a file"
    )
    auth_leeway_s: int = Field(10, ge=0, le=300, description="how far the issuer's clock may be off, seconds")
    auth_token_bytes_max: int = Field(8 * 1024, ge=256, le=16 * 1024, description="longest token, bytes")
    auth_grants_claim: str = Field(
        "fanfold_grants", min_length=1, description="the claim of a token that has its grants"
    )
    auth_grants: str = Field(
        "", description="file of grants by subject, which then count instead of the tokens' own, and of who is shut out"
    )
    api_keys: str = Field("", description="file of the keys of machines, as `fanfold key` writes it")
    auth_keys_ask_again_s: int = Field(
        10, ge=1, description="for a key that is not known the issuer is asked at most this often, seconds"
    )
    auth_keys_max_age_s: int = Field(300, ge=1, description="the issuer's keys are read again this often, seconds")
    stream_sign_in_ms: int = Field(
        5_000, ge=1, description="how long a stream may stay without anybody signed in, milliseconds"
    )
    stream_ticket_ms: int = Field(
        30_000,
        ge=1_000,
        le=300_000,
        description="how long a ticket of `POST /v1/stream/tickets` counts, unless it is used before, milliseconds",
    )
    stream_unauthenticated_max: int = Field(
        1_000, ge=1, description="streams without anybody signed in; more are told 503"
    )
    stream_unauthenticated_percent: int = Field(
        50,
        ge=1,
        le=100,
        description=(
            "how many of those an address may have, of what it has and what is free, percent: so none keeps all others from "
            "signing in. 100: whoever comes first may have all"
        ),
    )

    # What is granted to one who asks. Where nobody is asked all of this machine are one, and nothing is limited by default.
    requests_max: int | None = Field(
        None,
        ge=0,
        le=10_000_000,
        description=(
            "requests that a principal may send within FANFOLD_REQUESTS_WINDOW_S, all at once if it likes (an address, where "
            "nobody is asked who asks): one, and one more for each 16 KiB of its body. 0: any number. Default: 5,000 with "
            "FANFOLD_AUTH=tokens, else 0"
        ),
    )
    requests_window_s: int = Field(
        5, ge=1, le=3_600, description="within which all of FANFOLD_REQUESTS_MAX is there again, seconds"
    )
    principal_streams_max: int | None = Field(
        None,
        ge=0,
        description=(
            "streams that a principal may have open: sockets, server-sent events and reads that wait. 0: any number. Default: "
            "1,000 with FANFOLD_AUTH=tokens, else 0"
        ),
    )
    address_streams_max: int | None = Field(
        None,
        ge=0,
        description=(
            "the same of an address (of IPv6 a network of 64 bits); a proxy in front is one, until its network is trusted. "
            "0: any number. Default: 5,000 with FANFOLD_AUTH=tokens, else 0"
        ),
    )
    stream_messages_max: int | None = Field(
        None,
        ge=0,
        le=10_000_000,
        description=(
            "messages that a stream may send within a second, one more for each 16 KiB; what comes faster is read as fast as "
            "that, and who is 10 s ahead is cut off. 0: any number. Default: 10,000 with FANFOLD_AUTH=tokens, else 0"
        ),
    )
    submit_share_percent: int = Field(
        50,
        ge=1,
        le=100,
        description=(
            "how much of FANFOLD_SUBMIT_BYTES_MAX a principal's commands may take, of what they take and what is free, percent: "
            "with 50 one alone may have half, two a third each. 100: whoever comes first may have all"
        ),
    )

    @model_validator(mode="after")
    def _which_pages(self) -> GatewaySettings:
        for origin in self.origins - {"*"}:
            if not _ORIGIN.match(origin):
                raise ValueError(
                    f"FANFOLD_ALLOWED_ORIGINS: {origin!r} is no origin as browsers say it: `https://a.example` or "
                    "`https://a.example:8443`, in small letters, without a path and without a slash at its end"
                )
        return self

    @model_validator(mode="after")
    def _who_is_believed(self) -> GatewaySettings:
        TrustedProxies(self.trusted_proxies)  # raises for what is no network
        return self

    @model_validator(mode="after")
    def _who_is_let_in(self) -> GatewaySettings:
        if self.auth == "off":
            return self
        if not self.auth_keys and not self.api_keys:
            raise ValueError(
                "FANFOLD_AUTH=tokens needs FANFOLD_AUTH_KEYS, FANFOLD_API_KEYS, or both: else nobody could ask"
            )
        if self.auth_keys and not (self.auth_issuer and self.auth_audience):
            raise ValueError(
                "FANFOLD_AUTH_KEYS needs FANFOLD_AUTH_ISSUER and FANFOLD_AUTH_AUDIENCE: whose tokens, and for whom"
            )
        if not self.algorithms or self.algorithms - set(ALGORITHMS):
            raise ValueError(f"FANFOLD_AUTH_ALGORITHMS must be some of {', '.join(ALGORITHMS)}")
        if self.auth_keys and not self.auth_keys.startswith("file:") and not _is_safe(self.auth_keys):
            raise ValueError("FANFOLD_AUTH_KEYS must be file:PATH or https://...; http:// only of this machine")
        return self

    @property
    def limits(self) -> Limits:
        """With the defaults of `auth`."""
        unset = UNLIMITED if self.auth == "off" else Limits(5_000, self.requests_window_s, 1_000, 5_000, 10_000)
        told = (self.requests_max, self.principal_streams_max, self.address_streams_max, self.stream_messages_max)
        by_default = (unset.requests, unset.principal_streams, unset.address_streams, unset.messages_a_second)
        requests, *others = (
            default if value is None else value for value, default in zip(told, by_default, strict=True)
        )
        return Limits(requests, self.requests_window_s, *others)

    @property
    def algorithms(self) -> frozenset[str]:
        return frozenset(each.strip() for each in self.auth_algorithms.split(",") if each.strip())

    @property
    def writes_accesses(self) -> bool:
        return self.access_log == "on" or (self.access_log == "auto" and self.auth != "off")

    @property
    def origins(self) -> frozenset[str]:
        return frozenset(origin.strip() for origin in self.allowed_origins.split(",") if origin.strip())


def _is_safe(url: str) -> bool:
    """Whether what comes from there cannot have been changed on the way."""
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" or (parts.scheme == "http" and ip_address(parts.hostname or "").is_loopback)
    except ValueError:
        return False
