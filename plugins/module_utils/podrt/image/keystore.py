# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys that are trusted to sign images: one file a key, below a prefix of image names or for all names.

A system directory has those of the distribution, the local one those of this host, which alone is written. An empty
file masks the key of its name. Whatever is wrong with one file, no key of a name counts: the file may be a mask.
Source: behaviours B30 to B32.
"""

from __future__ import annotations

import os

from ..appc.names import ACIdentifier
from ..contexts import suppress
from ..errors import Corrupt, HostFailure, InvalidSpec
from ..host import files
from ..host.reading import check_kept, entries_beneath, read_bytes
from ..value import Value
from .openpgp import MOST_KEYS, NotOpenPgp, is_fingerprint, read_keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..host.paths import Paths
    from .openpgp import PublicKey

_DIR, _FILE = files.OPEN_DIR, 0o644
_LONGEST_PART = 255
# What files.write_atomically calls a file before it is complete.
_ASIDE = ".tmp"


class TrustedKey(Value):
    """A key with the file that has it. prefix: of the image names that it may sign, "" for all."""

    key: PublicKey
    path: str
    prefix: str


class StoredKey(Value):
    """What a directory has of a fingerprint. key: None for a mask."""

    path: str
    key: PublicKey | None


class Prefix(ACIdentifier):
    """A prefix of image names that is also a path of directories."""

    def __new__(cls, text: str, where: str = "") -> Prefix:
        """Raise InvalidSpec naming where, unless the text is valid. Source: behaviours A60."""
        scheme, colon, _rest = text.partition("://")
        if colon:
            raise InvalidSpec(
                f'"{text}" must not contain a URL scheme',
                f"omit {scheme}://",
                where=where,
                on_argv=f"--prefix must not contain a URL scheme, omit {scheme}://",
            )
        if not parts_of(text):
            raise InvalidSpec(
                f'"{text}" is not a prefix of image names',
                "write the beginning of names up to a slash, such as example.com/team",
                where=where,
            )
        return str.__new__(cls, ACIdentifier(text, where))


def parts_of(name: str) -> tuple[str, ...]:
    """The parts of an image name as directories, () where they cannot be: appc allows "a//b" and "a/../b"."""
    parts = tuple(name.split("/"))
    fit = all(
        part not in ("", ".", "..") and len(part) <= _LONGEST_PART and "\0" not in part for part in parts
    )
    return parts if fit else ()


def trusted_for(paths: Paths, name: str) -> tuple[TrustedKey, ...]:
    """The keys that may sign an image of this name, and why each one may: its prefix. "": the root keys.

    Of each directory root keys come first, then those of shorter prefixes; a later mask takes away an earlier key.
    Raises Corrupt and InvalidSpec, which name the file, HostFailure.
    """
    parts = parts_of(name)
    prefixes = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    found: dict[str, TrustedKey] = {}
    for prefix_of_all in ([""], prefixes):
        for config_dir in paths.trust_dirs:
            for prefix in prefix_of_all:
                for fingerprint, entry in _entries(paths, config_dir, prefix):
                    found.pop(fingerprint, None)
                    if entry.key:
                        found[fingerprint] = TrustedKey(entry.key, entry.path, prefix)
    return tuple(found.values())


def is_empty(paths: Paths) -> bool:
    """Whether no key is trusted, for no name. Looks for the directories alone. Raises HostFailure."""
    try:
        return not any(files.entries(paths.trusted(config_dir)) for config_dir in paths.trust_dirs)
    except OSError as err:
        raise HostFailure.of("cannot read the trusted keys", err) from err


def entry_of(paths: Paths, config_dir: str, prefix: str, fingerprint: str) -> StoredKey | None:
    """What a configuration directory has of a key for exactly this prefix. Raises what trusted_for raises."""
    path = paths.trusted_key(config_dir, prefix, fingerprint)
    try:
        if not os.path.lexists(path):
            return None
        _check_dirs(paths, config_dir, prefix)
        return _read(path, config_dir, fingerprint)
    except FileNotFoundError:
        return None
    except OSError as err:
        raise HostFailure.of(f"cannot read the trusted key {path}", err) from err


def store(paths: Paths, prefix: str, key: PublicKey) -> str:
    """Write a key into the local directory; returns its path. Raises HostFailure, InvalidSpec, Corrupt."""
    return _write(paths, prefix, key.fingerprint, key.armored)


def mask(paths: Paths, prefix: str, fingerprint: str) -> str:
    """Write an empty file, so that no key of the system counts by this fingerprint. Returns and raises as store."""
    return _write(paths, prefix, fingerprint, b"")


def forget(paths: Paths, prefix: str, fingerprint: str) -> None:
    """Remove a key or a mask from the local directory, if it is there. Raises HostFailure, Corrupt."""
    path = paths.trusted_key(paths.local_config, prefix, fingerprint)
    try:
        with files.path_beneath(path, paths.local_config) as held:
            os.unlink(held)
            files.sync_dir(os.path.dirname(held))
    except FileNotFoundError:
        return
    except OSError as err:
        raise HostFailure.of(f"cannot remove the trusted key {path}", err) from err


def _write(paths: Paths, prefix: str, fingerprint: str, data: bytes) -> str:
    base, path = paths.local_config, paths.trusted_key(paths.local_config, prefix, fingerprint)
    place = paths.trusted_keys(base, prefix)
    try:
        files.make_dirs(base, _DIR)
        files.make_dirs_beneath(place, base, _DIR)
        _check_dirs(paths, base, prefix)
        with files.path_beneath(path, base) as held:
            files.write_atomically(held, data, _FILE)
        for directory in (*_dirs(base, place), os.path.dirname(base)):
            files.sync_dir(directory)
    except OSError as err:
        raise HostFailure.of(f"cannot write the trusted key {path}", err) from err
    return path


def _entries(paths: Paths, config_dir: str, prefix: str) -> Iterator[tuple[str, StoredKey]]:
    """The files of a directory of keys by their names. Raises what trusted_for raises."""
    place = paths.trusted_keys(config_dir, prefix)
    try:
        names = _names(place, config_dir)
        if names:
            _check_dirs(paths, config_dir, prefix)
        for name in names:
            with suppress(FileNotFoundError):  # removed meanwhile
                yield name, _read(f"{place}/{name}", config_dir, name)
    except OSError as err:
        raise HostFailure.of(f"cannot read the trusted keys in {place}", err) from err


def _names(place: str, config_dir: str) -> list[str]:
    """The names of all but directories, which are those of longer prefixes, and unfinished files."""
    return [
        name
        for name in entries_beneath(place, config_dir)
        if not (name.endswith(_ASIDE) and is_fingerprint(name.partition(".")[0]))
        and not files.is_real_dir(f"{place}/{name}")
    ]


def _read(path: str, config_dir: str, name: str) -> StoredKey:
    """Raises Corrupt, InvalidSpec, OSError."""
    data = read_bytes(path, MOST_KEYS, beneath=config_dir)
    check_kept(path)
    if not data:
        if not is_fingerprint(name):
            raise _mismatch(path, "an empty file masks the key whose fingerprint it is called")
        return StoredKey(path, None)
    try:
        key = read_keys(data, path)[0]
    except NotOpenPgp as err:
        raise Corrupt(f"cannot use the trusted key {path}: {err.reason}", err.hint, path=path) from err
    if key.fingerprint != name:
        raise _mismatch(path, f"its key is {key.fingerprint}")
    return StoredKey(path, key)


def _mismatch(path: str, reason: str) -> Corrupt:
    return Corrupt(
        f"cannot use the trusted key {path}: fingerprint mismatch: {reason}",
        "remove the file, or give it the name of its key: 40 lower-case digits",
        path=path,
    )


def _dirs(base: str, place: str) -> list[str]:
    """The directories from a configuration directory down to one of keys."""
    found = [base]
    for part in place[len(base) + 1 :].split("/"):
        found.append(f"{found[-1]}/{part}")
    return found


def _check_dirs(paths: Paths, config_dir: str, prefix: str) -> None:
    """Raise InvalidSpec if other users can change what is in one of the directories of a prefix. Raises OSError."""
    for directory in _dirs(config_dir, paths.trusted_keys(config_dir, prefix)):
        check_kept(directory)
