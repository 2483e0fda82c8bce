"""The store in S3, or in what speaks like it: `s3://BUCKET/PREFIX?region=…`, with the options that Arrow's own URIs have.

Who we are there is said where AWS's tools look for it (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, the role of the
machine), never in the address: that one is told to people.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, urlsplit

from pyarrow.fs import FileSystem

from write_side.contract.snapshots.store_remote import CONNECT_S, RemoteStore

OPTIONS: Final = ("endpoint_override", "region", "scheme", "tls_ca_file_path")
TRIES: Final = 2

_WRITE: Final = (
    "write s3://BUCKET/FOLDER, and behind it ?region=eu-central-1 for another region than the environment's, or "
    "?endpoint_override=HOST:PORT&scheme=http for a server of your own"
)


def s3_store(address: str) -> RemoteStore:
    """The store that an address names. Makes no connection. Raises ValueError with what to write instead."""
    try:
        parts = urlsplit(address)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ValueError(f"its address cannot be read; {_WRITE}") from None
    if "@" in parts.netloc or "@" in options.get("endpoint_override", ""):
        raise ValueError(
            "its address holds a key, and addresses are told to people; put it into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise ValueError(f"its address has options that are not known ({', '.join(unknown)}); {_WRITE}")
    if not parts.netloc or ":" in parts.netloc or parts.fragment or not all(options.values()):
        raise ValueError(f"its address is not complete; {_WRITE}")
    if options.get("scheme", "https") not in ("http", "https"):
        raise ValueError("its scheme must be http or https")
    bucket, folder = parts.netloc, parts.path.strip("/")
    root = f"{bucket}/{folder}" if folder else bucket

    def connect(silent_s: float) -> FileSystem:
        from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

        return S3FileSystem(
            **options,
            connect_timeout=CONNECT_S,
            request_timeout=silent_s,  # for a sign of life; Arrow's documentation says that Linux has none, and it does
            retry_strategy=AwsStandardS3RetryStrategy(max_attempts=TRIES),
            background_writes=False,  # what fails is raised by the call that it failed in, and in bounded time
        )

    return RemoteStore(f"s3://{root}", root, connect, container=bucket)
