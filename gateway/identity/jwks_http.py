"""An issuer's keys at its address (RFC 7517): public ones only, over TLS unless the address is this machine's."""

from __future__ import annotations

from typing import Final

import aiohttp

SECONDS_MAX: Final = 5.0
BYTES_MAX: Final = 256 * 1024


class KeysOverHttp:
    """`read` gives the document as it is now. Raises OSError for whatever keeps it from coming."""

    is_remote = True

    def __init__(self, url: str) -> None:
        self.place = url

    async def read(self) -> bytes:
        timeout = aiohttp.ClientTimeout(total=SECONDS_MAX)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False) as session,
                session.get(self.place, allow_redirects=False, headers={"accept": "application/json"}) as response,
            ):
                if response.status != 200:
                    raise OSError(f"it answered {response.status}")
                data = await response.content.read(BYTES_MAX + 1)
                while len(data) <= BYTES_MAX and (more := await response.content.read(BYTES_MAX + 1 - len(data))):
                    data += more
        except (aiohttp.ClientError, TimeoutError) as failure:
            raise OSError(f"it did not answer ({type(failure).__name__})") from None
        if len(data) > BYTES_MAX:
            raise OSError(f"it answered more than {BYTES_MAX} bytes")
        return data
