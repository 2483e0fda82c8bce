"""The `Prefer` header (RFC 7240): of its preferences only `wait` means something here, the others are passed over."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from fanfold.api.malformed import Malformed
from fanfold.api.questions import WAIT_SECONDS_MAX

_SECONDS: Final = re.compile(rb'[ \t]*("?)([0-9]{1,2})\1[ \t]*\Z')


def wait_preference(headers: Iterable[tuple[bytes, bytes]]) -> float | None:
    """Seconds of `Prefer: wait=N`, the first where it is said twice; None without it.

    headers: names in lower case. Raises Malformed when it is not a whole number from 0 to `WAIT_SECONDS_MAX`.
    """
    for name, value in headers:
        if name != b"prefer":
            continue
        for preference in value.split(b","):
            token, _, rest = preference.partition(b"=")
            if token.strip(b" \t").lower() != b"wait":
                continue
            found = _SECONDS.match(rest.partition(b";")[0])
            if found is None or int(found[2]) > WAIT_SECONDS_MAX:
                raise Malformed(
                    "parameter_malformed", "Prefer", f"must have wait=0 to wait={WAIT_SECONDS_MAX}, seconds"
                )
            return float(found[2])
    return None
