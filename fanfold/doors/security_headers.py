"""What every answer says to browsers, whatever it is: that it is what it says it is, and nobody's frame, script or link.

Answers are JSON to programs, but an address of them can be opened in a browser, too, and a page may be framed. The headers are
those of the OWASP REST and HTTP headers cheat sheets.
"""

from __future__ import annotations

from typing import Final

Header = tuple[bytes, bytes]

ALWAYS: Final[tuple[Header, ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
POLICY: Final[Header] = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
"""Of what is no page: nothing in it is ever run, loaded or framed. Pages have policies of their own."""
HTTPS_ONLY: Final[Header] = (b"strict-transport-security", b"max-age=31536000")
"""Only where it came by TLS, as a listed proxy says: a year, this name alone. Whether other names below it have TLS is not known
here."""
