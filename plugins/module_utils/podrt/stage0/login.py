# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans for the credentials of registries: a document of the kind dockerAuth for each, in the local directory.

They are tried before they are written, in check mode as well. Documents of other names are never changed.
Source: behaviours B34, B36, B57.
"""

from __future__ import annotations

import os
import stat

from ..errors import Conflict, Corrupt, HostFailure, InvalidSpec
from ..fields import canonical_json
from ..host import files
from ..host.config import VERSION, parse_document
from ..host.reading import read_bytes, read_trusted
from ..image.reference import names_of_registry
from ..value import Value
from .change import Applied, Change, Difference
from .compare import fingerprint_key
from .described import fingerprint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.host import Host
    from ..image.policy import FetchPolicy
    from .change import Plan

KIND, AUTH_D = "dockerAuth", "auth.d"
_MODE = 0o600
_DIRECTORY = 0o750
_DAMAGED = "damaged"


class Account(Value):
    """A user of a registry. registry: as references have it."""

    registry: str
    user: str
    password: str

    def __repr__(self) -> str:
        return f"Account({self.registry!r}, {self.user!r})"

    def document(self) -> bytes:
        """The document that says so."""
        credentials = {"user": self.user, "password": self.password}
        return canonical_json(
            {
                "rktKind": KIND,
                "rktVersion": VERSION,
                "registries": [self.registry],
                "credentials": credentials,
            }
        )


class StoreLogin(Change):
    """Try credentials, and write them. policy: None to write them untried."""

    account: Account
    policy: FetchPolicy | None

    def foresee(self, host: Host) -> None:
        """Raises Unreachable when the registry does not take them, Untrusted, InvalidSpec."""
        self._try(host)

    def apply(self, host: Host) -> Applied:
        """Raises the same, and HostFailure."""
        notes = self._try(host)
        path = host.paths.login(self.account.registry)
        try:
            files.make_dirs(os.path.dirname(path), _DIRECTORY)
            files.write_atomically(path, self.account.document(), _MODE)
        except OSError as err:
            raise HostFailure.of(f"cannot write {path}", err) from err
        return Applied(notes=notes)

    def _try(self, host: Host) -> tuple[str, ...]:
        from ..image.login import is_asked

        account = self.account
        if self.policy is None or is_asked(
            host, account.registry, self.policy, account.user, account.password
        ):
            return ()
        return (f"{account.registry} asks for no credentials, so that they could not be tried",)


class DropLogin(Change):
    """Remove the credentials of a registry."""

    registry: str

    def apply(self, host: Host) -> None:
        """Raises HostFailure."""
        path = host.paths.login(self.registry)
        try:
            os.unlink(path)
            files.sync_dir(os.path.dirname(path))
        except FileNotFoundError:
            return
        except OSError as err:
            raise HostFailure.of(f"cannot remove {path}", err) from err


def ensure_login(host: Host, account: Account, policy: FetchPolicy | None) -> Plan[None]:
    """Plan: the host has these credentials for a registry. policy: of the trial, None for no trial.

    Raises Conflict when another document of the directory has some, which would make all of them invalid.
    """
    other = _other_document(host, account.registry)
    if other:
        raise Conflict(
            f"{other} has credentials for {account.registry} already, and a directory may name a registry once",
            "remove them there, or remove that file",
            path=other,
        )
    found, mode = stored_account(host, account.registry)
    place = f"logins.{account.registry}"
    differences: list[Difference] = []
    if found is None:
        differences.append(Difference(place, None if mode is None else _DAMAGED, account.user))
    else:
        key = fingerprint_key(host.paths)
        before, after = (fingerprint(each.password, key) for each in (found, account))
        if found.user != account.user:
            differences.append(Difference(f"{place}.user", found.user, account.user))
        if found.password != account.password:
            differences.append(Difference(f"{place}.password", before, after))
        if mode != _MODE:
            differences.append(Difference(f"{place}.mode", f"{mode:04o}", f"{_MODE:04o}", "drift"))
    if differences:
        is_tried = [each for each in differences if not each.path.endswith(".mode")]
        tried = policy if is_tried else None
        yield StoreLogin(f"login to {account.registry}", tuple(differences), account, tried)


def ensure_no_login(host: Host, registry: str) -> Plan[None]:
    """Plan: the module has no credentials for a registry on this host."""
    found, mode = stored_account(host, registry)
    if mode is not None:
        before = found.user if found else _DAMAGED
        difference = Difference(f"logins.{registry}", before, None)
        yield DropLogin(f"login to {registry}", (difference,), registry)


def stored_account(host: Host, registry: str) -> tuple[Account | None, int | None]:
    """What the document of a registry says, None if it says something else; and its mode, None without a document.

    A document of another user counts as damaged. Raises HostFailure.
    """
    path = host.paths.login(registry)
    try:
        info = os.lstat(path)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid():
            return None, stat.S_IMODE(info.st_mode)
        data, mode = read_bytes(path), stat.S_IMODE(info.st_mode)
    except FileNotFoundError:
        return None, None
    except Corrupt:
        return None, stat.S_IMODE(info.st_mode)
    except OSError as err:
        raise HostFailure.of(f"cannot read {path}", err) from err
    try:
        fields = parse_document(data, AUTH_D, path).fields
        given = fields.within("credentials")
        account = Account(registry, given.text("user"), given.text("password"))
        return (account if account.document() == data else None), mode
    except InvalidSpec:
        return None, mode


def other_sources(host: Host, registry: str) -> tuple[str, ...]:
    """The other files that give credentials for a registry. Raises InvalidSpec naming a file, HostFailure."""
    config = host.config
    found = [path for place in host.paths.config_dirs for path in _documents(host, place, registry)]
    names = names_of_registry(registry)
    if any(name.partition("/")[0] in names for name, _login in config.of_files):
        found += config.docker_files
    return tuple(found)


def _other_document(host: Host, registry: str) -> str:
    return next(iter(_documents(host, host.paths.local_config, registry)), "")


def _documents(host: Host, config_dir: str, registry: str) -> list[str]:
    """The documents of a directory, but the module's own, that have credentials for a registry."""
    place, own = host.paths.auth(config_dir), host.paths.login(registry)
    found = []
    try:
        for name in files.entries(place):
            path = f"{place}/{name}"
            if path == own or not name.endswith(".json") or not stat.S_ISREG(os.lstat(path).st_mode):
                continue
            document = parse_document(read_trusted(path), AUTH_D, path)
            if document.kind == KIND and set(document.fields.strings("registries")) & set(
                names_of_registry(registry)
            ):
                found.append(path)
    except OSError as err:
        raise HostFailure.of(f"cannot read the configuration in {place}", err) from err
    return found
