# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans for the policies of docker images: one decides for a prefix of names, or none does.

Only the local configuration directory is written, so that a policy of the system is taken away by one that says
nothing. All is about exactly this prefix: those of shorter and longer ones stay.
"""

from __future__ import annotations

from ..image import policies
from ..image.policies import NONE, ImagePolicy
from .change import Change, Difference
from .trust import check_signs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.host import Host
    from ..image.policies import StoredPolicy
    from .change import Plan


_KEYS, _CONTENT = ".keys", ".content"


class StorePolicy(Change):
    """Write a policy into the local directory, or in the place of what is there."""

    policy: ImagePolicy

    def foresee(self, _host: Host) -> None:
        """Raises Untrusted for a key that can make no good signatures, see StoreKey."""
        for key in self.policy.keys.openpgp:
            check_signs(key)

    def apply(self, host: Host) -> None:
        """Raises Untrusted, InvalidSpec, HostFailure."""
        self.foresee(host)
        policies.store(host.paths, self.policy)


class DropPolicy(Change):
    """Remove a policy from the local directory."""

    prefix: str

    def apply(self, host: Host) -> None:
        """Raises InvalidSpec, HostFailure."""
        policies.forget(host.paths, self.prefix)


def ensure_policy(host: Host, wanted: ImagePolicy) -> Plan[str]:
    """Plan: this policy, as it is, decides for its prefix. Returns the path of its file."""
    found = policy_at(host, wanted.prefix)
    differences = _differences(found.policy if found else None, wanted)
    if found and not differences:
        return found.path
    yield StorePolicy(f"policy {_named(wanted.prefix)}", differences, wanted)
    stored = policies.policy_in(host.paths.local_config, wanted.prefix)
    return stored.path if stored else host.paths.image_policy(host.paths.local_config, wanted.prefix)


def ensure_no_policy(host: Host, prefix: str) -> Plan[None]:
    """Plan: no policy decides for exactly this prefix."""
    found = policy_at(host, prefix)
    if found is None:
        return
    difference = Difference(_path(prefix), found.policy.policy, None)
    subject = f"policy {_named(prefix)}"
    system = policies.policy_in(host.paths.system_config, prefix)
    if system and system.policy.policy != NONE:
        yield StorePolicy(subject, (difference,), ImagePolicy(prefix, NONE))
    else:
        yield DropPolicy(subject, (difference,), prefix)


def policy_at(host: Host, prefix: str) -> StoredPolicy | None:
    """The policy that decides for exactly this prefix, None without one. Raises InvalidSpec, HostFailure."""
    local = policies.policy_in(host.paths.local_config, prefix)
    found = local or policies.policy_in(host.paths.system_config, prefix)
    return found if found and found.policy.policy != NONE else None


def _differences(found: ImagePolicy | None, wanted: ImagePolicy) -> tuple[Difference, ...]:
    before, after = (_described(found) if found else {}), _described(wanted)
    differing = [name for name in after if before.get(name) != after[name]]
    if _KEYS in differing:
        differing.remove(_CONTENT)
    path = _path(wanted.prefix)
    return tuple(Difference(f"{path}{name}", before.get(name), after[name]) for name in differing)


def _described(policy: ImagePolicy) -> dict[str, str | None]:
    """The members of a policy by the ends of their paths in differences."""
    return {
        "": policy.policy,
        _KEYS: ", ".join(sorted(policy.keys.fingerprints)) or None,
        _CONTENT: _content(policy),
        ".lookaside": policy.lookaside or None,
    }


def _content(policy: ImagePolicy) -> str | None:
    """What stands for keys that have changed and kept their fingerprints, such as by a new date of expiry."""
    from ..host.digests import sha256

    texts = "".join(sorted(policy.keys.texts))
    return f"sha256:{sha256(texts.encode()).hexdigest()[:16]}" if texts else None


def _path(prefix: str) -> str:
    """The path of a policy in differences."""
    return f"policy.{prefix or 'root'}"


def _named(prefix: str) -> str:
    return prefix or "for all images"
