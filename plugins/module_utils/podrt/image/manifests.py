# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documents of a registry say: indexes, manifests and the layers that they name. Pure.

They are the registry's, so whatever is wrong with them is Corrupt and names the image. Source: OCI image specification.
"""

from __future__ import annotations

import contextlib
import re

from ..appc.fields import Fields, parse_json
from ..errors import Corrupt, InvalidSpec, NotFound
from ..value import Value
from .convert import PLATFORMS, DockerConfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LARGEST_LAYER = 1 << 50


class LayerBlob(Value):
    """A layer as the registry has it. digest and size of what is sent; diff_id of what is in it."""

    digest: str
    size: int
    diff_id: str


def read_manifest(data: bytes, what: str) -> Fields:
    """A manifest or an index of the image that what names. Raises Corrupt."""
    with _as_sent(f"the manifest of {what}"):
        return Fields(parse_json(data, "it"), "manifest")


def read_config(data: bytes, what: str) -> DockerConfig:
    """The configuration of the image that what names. Raises Corrupt."""
    with _as_sent(f"the configuration of {what}"):
        return DockerConfig.from_json(parse_json(data, "it"))


def choose(index: Fields, arch: str, what: str) -> tuple[str, bool]:
    """The digest of what fits a platform best in an index, and whether the index says that it does.

    It may be an index again. One that does not say what its only entry is for leaves that to its configuration.
    Raises Corrupt, NotFound.
    """
    with _as_sent(f"the manifest of {what}"):
        entries = [
            Fields(value, where) for value, where in index.items("manifests") if isinstance(value, dict)
        ]
        if len(entries) == 1 and not entries[0].has("platform"):
            return _digest(entries[0]), False
        offered = _offered(entries)
        for wanted in _platforms(arch):
            if wanted in offered:
                return _digest(offered[wanted]), True
    raise _not_made_for(arch, what, ["/".join(filter(None, key)) for key in offered])


def check_platform(config: DockerConfig, arch: str, what: str) -> None:
    """Raise NotFound unless a configuration is for a platform."""
    if config.os != "linux":
        raise _not_made_for(arch, what, [])
    if config.architecture not in [architecture for architecture, _variant in _platforms(arch)]:
        raise _not_made_for(arch, what, [config.architecture or "what it does not say"])


def config_digest(manifest: Fields, what: str) -> str:
    """The digest of the configuration that a manifest names. Raises Corrupt."""
    with _as_sent(f"the manifest of {what}"):
        return _digest(Fields(manifest.raw("config"), manifest.where_of("config")))


def layers_of(manifest: Fields, config: DockerConfig, what: str) -> tuple[LayerBlob, ...]:
    """The layers of an image, bottom layer first. Raises Corrupt."""
    with _as_sent(f"the manifest of {what}"):
        blobs = [Fields(value, where) for value, where in manifest.items("layers")]
        if len(blobs) != len(config.diff_ids):
            raise Corrupt(
                f"{what} has {len(blobs)} layers, but its configuration names {len(config.diff_ids)}"
            )
        return tuple(_layer(fields, diff_id) for fields, diff_id in zip(blobs, config.diff_ids))


def _layer(fields: Fields, diff_id: str) -> LayerBlob:
    size = fields.integer("size")
    if not 0 <= size <= _LARGEST_LAYER:
        raise InvalidSpec("a layer cannot be of that size", where=fields.where_of("size"))
    return LayerBlob(_digest(fields), size, _checkable(diff_id))


def _offered(entries: list[Fields]) -> dict[tuple[str, str], Fields]:
    """The entries by (architecture, variant) of what is for linux; the first of a kind counts.

    One that does not say its platform in a way that can be read is for none, and no reason to refuse the others.
    """
    offered: dict[tuple[str, str], Fields] = {}
    for fields in entries:
        with contextlib.suppress(InvalidSpec):
            platform = Fields(fields.raw("platform") or {}, fields.where_of("platform"))
            if platform.text("os", "") == "linux":
                offered.setdefault((platform.text("architecture", ""), platform.text("variant", "")), fields)
    return offered


def _platforms(arch: str) -> tuple[tuple[str, str], ...]:
    return PLATFORMS.get(arch, ((arch, ""),))


def _not_made_for(arch: str, what: str, offered: list[str]) -> NotFound:
    names = ", ".join(sorted(offered)) or "no linux at all"
    return NotFound(
        f"{what} is not made for {arch}: it offers {names}", "build it for this platform", arch=arch
    )


def _digest(fields: Fields) -> str:
    return _checkable(fields.text("digest"))


def _checkable(digest: str) -> str:
    if not DIGEST.fullmatch(digest):
        raise Corrupt(
            f'"{digest[:80]}" is not a digest that can be checked', "push the image with sha256 digests"
        )
    return digest


@contextlib.contextmanager
def _as_sent(what: str) -> Iterator[None]:
    try:
        yield
    except InvalidSpec as err:
        raise Corrupt(f"{what} is not valid: {err}", "push the image again") from err
