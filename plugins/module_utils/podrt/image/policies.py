# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What decides that an image of a docker registry counts: documents of the kind imagePolicy, one a prefix of names.

The most specific prefix decides, part by part: example.com/team/app, example.com/team, example.com, all. Of the same
prefix the document of the later configuration directory counts. There is no default: without a policy nothing is said,
and an image is refused as one without a signature. Source: containers/image, docs/containers-policy.json.5.md, for what
the policies mean.
"""

from __future__ import annotations

import os

from ..errors import HostFailure, InvalidSpec
from ..fields import canonical_json
from ..host import files
from ..host.config import VERSION, of_file, read_documents
from ..host.paths import TRUST_D
from ..value import Value
from .openpgp import read_keys
from .publickeys import is_pem, read_pem
from .reference import names_of_registry, parse_docker, shown
from .simplesigning import HUB, canonical_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..fields import Fields
    from ..host.paths import Paths
    from .openpgp import PublicKey
    from .publickeys import VerifyingKey
    from .reference import DockerReference

# none: the document says nothing, and takes away one of the same prefix in an earlier directory.
ACCEPT, SIGNED, REJECT, NONE = POLICIES = ("accept", "signed", "reject", "none")
_DIR, _FILE = files.OPEN_DIR, 0o644
# So that the name of a file can hold it.
_LONGEST_PREFIX = 200
_LOOKASIDES = ("https://", "http://", "file:///")
_MOST_KEYS = 16


class Keys(Value):
    """The keys of a policy, any of which may sign."""

    openpgp: tuple[PublicKey, ...] = ()
    cosign: tuple[VerifyingKey, ...] = ()

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Those of all, of OpenPGP 40 digits, of others the 64 of their SHA-256."""
        openpgp = (key.fingerprint for key in self.openpgp)
        return (*openpgp, *(key.fingerprint for key in self.cosign))

    @property
    def texts(self) -> tuple[str, ...]:
        """The keys as they are stored."""
        return (*(key.armored.decode() for key in self.openpgp), *(key.pem for key in self.cosign))


class ImagePolicy(Value):
    """What decides about the images below a prefix, "" for all. policy: one of POLICIES.

    lookaside: the URL of a directory with signatures by OpenPGP, "" for where the registry has them.
    """

    prefix: str
    policy: str
    keys: Keys = Keys()
    lookaside: str = ""

    def check(self) -> None:
        """Raise InvalidSpec for what does not fit together."""
        if self.policy not in POLICIES:
            raise InvalidSpec(f'unknown policy "{self.policy}"', f"use {', '.join(POLICIES)}", where="policy")
        has_keys = bool(self.keys.fingerprints)
        if has_keys != (self.policy == SIGNED):
            raise InvalidSpec(
                f'the policy "{self.policy}" takes no key' if has_keys else 'the policy "signed" needs a key',
                "write the policy signed with the key that signs the images",
                where="key",
            )
        is_place = self.lookaside.startswith(_LOOKASIDES) and not set(self.lookaside) & set("?#@")
        if self.lookaside and not (self.keys.openpgp and is_place):
            raise InvalidSpec(
                f'"{shown(self.lookaside)}" is not a place of signatures'
                if self.keys.openpgp
                else "a place of signatures beside the registry is for the policy signed with a key of OpenPGP",
                "write the URL of a directory, https:// or file:///, as lookaside of registries.d has it, without a "
                "query and a password; credentials belong in auth.d",
                where="lookaside",
            )


class StoredPolicy(Value):
    """A policy and the file that has it."""

    path: str
    policy: ImagePolicy


def parse_prefix(text: str, where: str = "") -> str:
    """A prefix of names as policies have it: REGISTRY, REGISTRY/PATH. Raises InvalidSpec naming where."""
    registry, slash, path = text.partition("/")
    registry = _host(registry)
    is_named = "." in registry or ":" in registry or registry == "localhost"
    try:
        # A name of one part would be one of Docker Hub's library.
        found = parse_docker("/".join((registry, path if slash else "x", "x")))
    except InvalidSpec:
        is_named = False
    if not is_named or len(text) > _LONGEST_PREFIX:
        raise InvalidSpec(
            f'"{text}" is not a prefix of names of docker images',
            "begin with the registry, in lower case and without docker:// or a tag: docker.io/library, "
            "registry.example.com:5000/team",
            where=where,
        )
    return canonical_name(found)[: -len("/x")] if slash else registry


def _host(registry: str) -> str:
    """A registry as prefixes have it. The case of a host means nothing, and must not lead around a policy."""
    folded = registry.lower()
    return HUB if folded in names_of_registry(HUB) else folded


def policy_for(paths: Paths, reference: DockerReference) -> ImagePolicy | None:
    """The policy that decides about an image. Raises InvalidSpec naming the file of any that is wrong, HostFailure."""
    found: dict[str, ImagePolicy] = {}
    for config_dir in paths.config_dirs:
        found.update({entry.policy.prefix: entry.policy for entry in policies_in(config_dir)})
    registry, *rest = canonical_name(reference).split("/")
    parts = [_host(registry), *rest]
    for count in range(len(parts), -1, -1):
        policy = found.get("/".join(parts[:count]))
        if policy and policy.policy != NONE:
            return policy
    return None


def policies_in(config_dir: str) -> tuple[StoredPolicy, ...]:
    """All policies of a configuration directory. Raises InvalidSpec, also for two of a prefix, HostFailure."""
    found: dict[str, StoredPolicy] = {}
    for document in read_documents(config_dir, TRUST_D):
        with of_file(document.where):
            policy = _policy_of(document.fields)
            if policy.prefix in found:
                raise InvalidSpec(
                    f'the policy for "{policy.prefix}" is already specified in {found[policy.prefix].path}'
                )
        found[policy.prefix] = StoredPolicy(document.where, policy)
    return tuple(found.values())


def policy_in(config_dir: str, prefix: str) -> StoredPolicy | None:
    """What a configuration directory has of exactly this prefix. Raises as policies_in."""
    return next((entry for entry in policies_in(config_dir) if entry.policy.prefix == prefix), None)


def store(paths: Paths, policy: ImagePolicy) -> str:
    """Write a policy into the local directory, in the place of what it has; returns the path of the file.

    Raises InvalidSpec, HostFailure.
    """
    base = paths.local_config
    held = policy_in(base, policy.prefix)
    path = held.path if held else paths.image_policy(base, policy.prefix)
    if not held and os.path.lexists(path):
        raise InvalidSpec(
            f"{path} is the file of another policy", "rename it: only that its name ends in .json matters"
        )
    try:
        files.make_dirs(base, _DIR)
        files.make_dirs(paths.image_policies(base), _DIR)
        files.write_atomically(path, canonical_json(_document(policy)), _FILE)
        files.sync_dir(base)
    except OSError as err:
        raise HostFailure.of(f"cannot write the policy {path}", err) from err
    return path


def forget(paths: Paths, prefix: str) -> None:
    """Remove the policy of exactly this prefix from the local directory, if it is there. Raises as store."""
    held = policy_in(paths.local_config, prefix)
    if held is None:
        return
    try:
        os.unlink(held.path)
        files.sync_dir(os.path.dirname(held.path))
    except FileNotFoundError:
        return
    except OSError as err:
        raise HostFailure.of(f"cannot remove the policy {held.path}", err) from err


def keys_of(data: bytes, what: str) -> Keys:
    """The keys of a text, of OpenPGP or in PEM; at least one. what: the text, for errors. Raises InvalidSpec."""
    if is_pem(data):
        return Keys((), read_pem(data, what))
    return Keys(read_keys(data, what), ())


def _policy_of(fields: Fields) -> ImagePolicy:
    """Raises InvalidSpec."""
    prefix = fields.text("prefix")
    keys = [keys_of(text.encode(), f"keys[{at}]") for at, text in enumerate(fields.strings("keys"))]
    if len(keys) > _MOST_KEYS:
        raise InvalidSpec(f"it has more than {_MOST_KEYS} keys", where="keys")
    return ImagePolicy(
        parse_prefix(prefix, "prefix") if prefix else "",
        fields.text("policy"),
        Keys(
            tuple(dict.fromkeys(key for each in keys for key in each.openpgp)),
            tuple(dict.fromkeys(key for each in keys for key in each.cosign)),
        ),
        fields.text("lookaside", ""),
    )


def _document(policy: ImagePolicy) -> dict[str, object]:
    return {
        "rktKind": "imagePolicy",
        "rktVersion": VERSION,
        "prefix": policy.prefix,
        "policy": policy.policy,
        **({"keys": list(policy.keys.texts)} if policy.keys.texts else {}),
        **({"lookaside": policy.lookaside} if policy.lookaside else {}),
    }
