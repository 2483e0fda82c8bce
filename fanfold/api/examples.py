"""What the examples of several documents have in common, of requests, answers and events."""

from __future__ import annotations

from typing import Final

ID: Final = "01970f3e-7b1a-7c3e-8a2b-1234567890ab"
HOLD: Final = "01970f3e-8c2b-7d4f-9b3c-2345678901bc"
AT: Final = "2026-01-01T00:00:00.000000Z"
STATE: Final = {
    "account": "alice",
    "asset": "USD/2",
    "posted": "1000",
    "held": "0",
    "available": "1000",
    "floor": "0",
    "version": 1,
    "position": "0:17",
    "at": AT,
}
ENTRY: Final = {
    "version": 1,
    "at": AT,
    "position": "0:17",
    "transfer": ID,
    "kind": "transfer",
    "amount": "1000",
    "posted": "1000",
    "held": "0",
    "available": "1000",
    "accounts": ["@world:USD/2"],
}
DAMAGED: Final = {
    "partition": 2,
    "stale_since": AT,
    "reason": "partition 2 stops before block 18: its hash is wrong. Run `fanfold verify`.",
}
