# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans for trusted keys: a key counts for a prefix of image names or as a root key, or it does not.

Both are about exactly this prefix: the same key may be trusted for others. Only the local configuration directory is
written, so that a key of the system is taken away by a mask. Source: behaviours B30 to B32.
"""

from __future__ import annotations

from ..errors import Untrusted
from ..host.digests import sha256
from ..image import keystore
from .change import Change, Difference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.host import Host
    from ..image.keystore import StoredKey
    from ..image.openpgp import PublicKey
    from .change import Plan

TRUSTED, MASKED = "trusted", "masked"


class StoreKey(Change):
    """Write a key into the local directory, or in the place of what is there."""

    prefix: str
    key: PublicKey

    def foresee(self, host: Host) -> None:
        """Raises Untrusted for a key that can make no good signatures, as far as that is known without gpg or by it."""
        del host
        check_signs(self.key)

    def apply(self, host: Host) -> None:
        """Raises Untrusted, HostFailure, InvalidSpec, Corrupt."""
        self.foresee(host)
        keystore.store(host.paths, self.prefix, self.key)


class DropKey(Change):
    """Remove a key from the local directory, or mask that of the system."""

    prefix: str
    fingerprint: str
    masks: bool

    def apply(self, host: Host) -> None:
        """Raises HostFailure, InvalidSpec, Corrupt."""
        if self.masks:
            keystore.mask(host.paths, self.prefix, self.fingerprint)
        else:
            keystore.forget(host.paths, self.prefix, self.fingerprint)


def check_signs(key: PublicKey) -> None:
    """Raise Untrusted for a key that can make no good signatures, as far as that is known without gpg or by it."""
    from ..image.signature import problem_of  # needed for a change alone

    problem = problem_of(key)
    if problem:
        raise Untrusted(
            f"cannot trust the key {key.fingerprint}: {problem}",
            "ask its owner for a new one; one that was trusted before is removed with state: absent",
        )


def ensure_key(host: Host, prefix: str, key: PublicKey) -> Plan[str]:
    """Plan: this key, as it is, counts for a prefix, "" for all names. Returns the path of its file."""
    system, local = _entries(host, prefix, key.fingerprint)
    found = local or system
    if found is None or found.key is None:
        before = MASKED if found else None
        yield _store(prefix, key, Difference(_path(prefix, key.fingerprint), before, TRUSTED))
    elif found.key.packets != key.packets:
        # Such as a key with a new date of expiry, or with another subkey.
        path = f"{_path(prefix, key.fingerprint)}.content"
        yield _store(prefix, key, Difference(path, _digest(found.key), _digest(key)))
    else:
        return found.path
    return host.paths.trusted_key(host.paths.local_config, prefix, key.fingerprint)


def ensure_no_key(host: Host, prefix: str, fingerprint: str) -> Plan[None]:
    """Plan: no key of this fingerprint counts for exactly this prefix, "" for all names."""
    system, local = _entries(host, prefix, fingerprint)
    masks = bool(system and system.key)
    if masks and not (local and local.key is None):
        difference = Difference(_path(prefix, fingerprint), TRUSTED, MASKED)
    elif local and local.key and not masks:
        difference = Difference(_path(prefix, fingerprint), TRUSTED, None)
    else:
        return
    yield DropKey(f"key {fingerprint}", (difference,), prefix, fingerprint, masks)


def trusted_at(host: Host, prefix: str, fingerprint: str) -> StoredKey | None:
    """The file of a key that counts for exactly this prefix, None if none does."""
    system, local = _entries(host, prefix, fingerprint)
    found = local or system
    return found if found and found.key else None


def _store(prefix: str, key: PublicKey, difference: Difference) -> StoreKey:
    return StoreKey(f"key {key.fingerprint}", (difference,), prefix, key)


def _entries(host: Host, prefix: str, fingerprint: str) -> tuple[StoredKey | None, StoredKey | None]:
    """What the system's directory and the local one have."""
    paths = host.paths
    system = keystore.entry_of(paths, paths.system_config, prefix, fingerprint)
    return system, keystore.entry_of(paths, paths.local_config, prefix, fingerprint)


def _path(prefix: str, fingerprint: str) -> str:
    """The path of a key in differences."""
    return f"trust.{prefix or 'root'}.{fingerprint}"


def _digest(key: PublicKey) -> str:
    return f"sha256:{sha256(key.packets).hexdigest()[:16]}"
