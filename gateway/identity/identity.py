"""Who asks: from what a request carries to a principal, and what has become of one since.

Files are looked at once a second at most, whoever asks, and by `run` when nobody does: what was taken away counts within a
second. A file that cannot be read leaves what it said before in force, and is told in the log each time that changes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from gateway.identity.access import Access, BadFile, MachineKeys, access_of, is_key, machine_keys_of
from gateway.identity.grants import KEY_NAMES, Principal
from gateway.identity.key_set import KeySet
from gateway.identity.keys import Keys
from gateway.identity.tokens import KeyUnknown, TokenRefused, TokenTerms, verify
from gateway.identity.watched import WatchedFile

LOOK_S: Final = 1.0
"""How often files are looked at."""

VERIFIED_MAX: Final = 10_000
"""Tokens that were verified and are known again by their hash; beyond it all are verified anew. Verifying one takes 0.1 ms."""

_SCHEME: Final = b"bearer"
_NOT_STARTED: Final = "Nothing was started, and no money is affected."

_log = structlog.get_logger(__name__)


class NobodySaid(Exception):
    """The request does not say who asks."""


class Files(NamedTuple):
    """Those that may be there."""

    access: WatchedFile | None = None
    keys: WatchedFile | None = None


class Identity:
    """terms, keys: of tokens; None where only keys of machines are taken. now_s: Unix time; clock: seconds that only rise."""

    def __init__(
        self,
        terms: TokenTerms | None,
        keys: Keys | None,
        files: Files,
        now_s: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self.changes = 0
        """Rises when something was read that is another than before: then `still` may say something else."""
        self._terms = terms
        self._keys = keys
        self._files = files
        self._now_s = now_s
        self._clock = clock
        self._access = Access()
        self._machines = MachineKeys()
        self._looked_at: float | None = None
        self._verified: dict[bytes, Principal] = {}
        self._key_set: KeySet | None = None
        self._troubles: dict[Path, str] = {}

    async def open(self) -> None:
        """Read everything for the first time. Raises BadFile, BadKeys: a door that does not know whom it lets in stays shut. Only
        an issuer's address that does not answer is waited for later."""
        for file, take, made_by in (
            (self._files.access, self._take_access, "gateway/identity/README.md shows one"),
            (self._files.keys, self._take_machines, "fanfold key add makes one"),
        ):
            if file is None:
                continue
            try:
                if (data := file.changed()) is not None:
                    take(data)
            except BadFile as bad:
                raise BadFile(f"{file.path} {bad}. {_NOT_STARTED}") from None
            except OSError as failure:
                raise BadFile(
                    f"{file.path} cannot be read ({failure.strerror or failure}); {made_by}. {_NOT_STARTED}"
                ) from None
        if self._keys is not None:
            await self._keys.open()

    async def run(self) -> None:
        """Look again each second, until cancelled."""
        while True:
            try:
                self.look()
                if self._keys is not None and self._keys.are_old:
                    await self._keys.read_again()
            except Exception:  # a bug of ours must not let in for ever who was shut out
                _log.exception("identity_not_looked_at")
            await asyncio.sleep(LOOK_S)

    # Who asks.

    def credential(self, authorization: Sequence[bytes]) -> str:
        """The token or key in the values of `Authorization` (RFC 6750, 2.1). Raises NobodySaid, TokenRefused."""
        if not authorization:
            raise NobodySaid
        scheme, _, credential = authorization[0].strip(b" \t").partition(b" ")
        if scheme.lower() != _SCHEME:
            raise NobodySaid
        if len(authorization) > 1:
            raise TokenRefused("stands beside another one")
        return credential.strip(b" ").decode("latin-1")

    async def who(self, credential: str) -> Principal:
        """Raises TokenRefused."""
        try:
            return self.who_now(credential)
        except KeyUnknown:
            if self._keys is None or not await self._keys.read_again():
                raise
        return self.who_now(credential)

    def who_now(self, credential: str) -> Principal:
        """As `who`, by what is known already. Raises TokenRefused, of which KeyUnknown means that `who` may know more."""
        self.look()
        if is_key(credential):
            principal = self._machines.of(credential)
            if principal is None:
                raise TokenRefused("is no key that is known here, or was revoked")
        else:
            principal = self._of_token(credential)
        if self._access.shuts_out(principal):
            raise TokenRefused("was revoked")
        return principal

    def knows(self, credential: str) -> bool:
        """Whether `who` costs next to nothing: a key, which is looked up, or a token that was verified before."""
        return is_key(credential) or _digest(credential) in self._verified

    def _of_token(self, token: str) -> Principal:
        if self._terms is None or self._keys is None:
            raise TokenRefused("is no key, and tokens are not taken here")
        self._take_key_set()
        assert self._key_set is not None
        if len(token) > self._terms.bytes_max:
            raise TokenRefused(f"is longer than {self._terms.bytes_max} bytes")
        digest = _digest(token)
        known = self._verified.get(digest)
        if known is None:
            known = verify(token, self._key_set, self._terms, self._now_s(), self._access.granted)
            if len(self._verified) >= VERIFIED_MAX:
                self._verified.clear()
            self._verified[digest] = known
        elif known.has_expired(self._now_s()):
            del self._verified[digest]
            raise TokenRefused("has expired")
        return known

    def _take_key_set(self) -> None:
        """The keys as they were read last: what was verified with others is looked at again. Mostly they are the same ones."""
        if self._keys is None or self._key_set is self._keys.current:
            return
        before, self._key_set = self._key_set, self._keys.current
        if before is None or before.fingerprints != self._key_set.fingerprints:
            self._verified.clear()
            self.changes += 1

    # What has become of one.

    def still(self, principal: Principal) -> Principal | None:
        """The same one with the rights that it has now; None when it is nobody any more."""
        if self._access.shuts_out(principal) or principal.has_expired(self._now_s()):
            return None
        if principal.name.startswith(KEY_NAMES):
            key = self._machines.named(principal.name.removeprefix(KEY_NAMES))
            # A key of the same name that was made since is another one.
            return key.principal if key is not None and key.digest == principal.token else None
        if self._key_set is not None and principal.signed_with not in self._key_set.fingerprints:
            return None  # its key was withdrawn: perhaps somebody else has it
        if self._access.granted is None:
            return principal
        return replace(principal, grants=self._access.granted.get(principal.name, ()))

    def expires_in_s(self, principal: Principal) -> float | None:
        return None if principal.expires_at_s is None else max(0.0, principal.expires_at_s - self._now_s())

    def look(self) -> None:
        """At the files, unless that was done within the last second."""
        self._take_key_set()
        now = self._clock()
        if self._looked_at is not None and now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        self._look_at(self._files.access, self._take_access)
        self._look_at(self._files.keys, self._take_machines)

    def _take_access(self, data: bytes) -> None:
        self._access = access_of(data)

    def _take_machines(self, data: bytes) -> None:
        self._machines = machine_keys_of(data)

    def _look_at(self, file: WatchedFile | None, take: Callable[[bytes], None]) -> None:
        """take: raises BadFile for what it does not understand."""
        if file is None:
            return
        try:
            data = file.changed()
            if data is None:
                return
            take(data)
        except (OSError, BadFile) as failure:
            reason = f"it cannot be read ({failure.strerror})" if isinstance(failure, OSError) else f"it {failure}"
            if self._troubles.get(file.path) != reason:
                self._troubles[file.path] = reason
                _log.error(
                    "identity_file_not_taken", file=str(file.path), reason=f"{reason}; what it said before counts"
                )
            return
        self._troubles.pop(file.path, None)
        self._verified.clear()
        self.changes += 1


def _digest(token: str) -> bytes:
    return hashlib.blake2b(token.encode("latin-1", "replace"), digest_size=32).digest()
