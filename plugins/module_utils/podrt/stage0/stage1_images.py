# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which stage1 a pod gets: that of the task or the command line, that of the host's configuration, or the native one.

An image is fetched, verified, stored and rendered like any other. Source: behaviours D21 to D24, D29, D34.
"""

from __future__ import annotations

import os

from ..appc.image import STOP_SIGNAL
from ..appc.isolators import MODES
from ..errors import Corrupt, InvalidSpec, NotFound
from ..host.config import configured_stage1
from ..image import find
from ..image.reference import ImageKey, LocalFile, parse_appc_name, parse_reference
from ..pod.runspec import FLY, NATIVE, NOTIFY, RESTART, TIMEZONE, RunSpec
from ..pod.stage1 import Interface
from ..value import Value
from .images import UNKNOWN_ID, ensure_image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Optional

    from ..host.config import Config
    from ..host.host import Host
    from ..image.policy import FetchPolicy
    from ..image.reference import ImageReference
    from ..store.index import StoredImage
    from .change import Plan
    from .manifest import Preparation
    from .spec import PodSpec, Stage1Choice

    Ensure = Callable[[ImageReference, FetchPolicy], Plan[Optional[StoredImage]]]

# rkt's names of its flavours; those that run a container manager are what the native one replaces.
_PREFIX, _FILE = "coreos.com/rkt/stage1-", "stage1-{}.aci"
_BUILT_IN = {FLY: FLY, NATIVE: NATIVE, "coreos": NATIVE, "src": NATIVE, "host": NATIVE}
# What the supervisor of the native one does: members of the run spec, and options that are annotations of an app.
_OF_RUN = ("exit_policy", "log", "shm_size", "aliases")
_ANNOTATIONS = (("restart", RESTART), ("stop_signal", STOP_SIGNAL), ("timezone", TIMEZONE))
# The standard files of an app with their usual modes, and the beginning of the annotations with others: those of
# stage1.plan.stdio, which is no layer below this one. A test compares them.
_STDIO, _OF_STDIO = (("stdin", "null"), ("stdout", "log"), ("stderr", "log")), "coreos.com/rkt/stage2/"
# The isolators of rkt.
_RKTS = (
    *("resource/cpu", "resource/memory", "os/linux/cpu-shares", "os/linux/oom-score-adj"),
    *(f"os/linux/{what}-{mode}-set" for what in ("capabilities", "seccomp") for mode in MODES),
    *("os/linux/no-new-privileges", "os/linux/selinux-context"),
)
_DIRTY = "-dirty"
_BY_OTHERS = 0o022
_NO_DEFAULT = (
    "neither the location of the default stage1 image nor its filename are set, "
    "use --stage1-{path,url,name,hash,from-dir} option"
)


class FoundStage1(Value):
    """The stage1 of a pod. recorded: as in the run spec. image: None for a flavour, and until it is stored."""

    recorded: str = NATIVE
    image: StoredImage | None = None

    @property
    def is_missing(self) -> bool:
        """Whether its image has yet to be fetched."""
        return self.recorded == UNKNOWN_ID

    def recorded_in(self, spec: PodSpec) -> PodSpec:
        """The description of a pod with it."""
        return spec.replace(run=spec.run.replace(stage1=self.recorded))

    def added_to(self, wanted: Preparation, spec: PodSpec) -> Preparation:
        """A preparation with it. Raises InvalidSpec for a pod that it cannot run. Pure."""
        if self.recorded != NATIVE and wanted.volume_images:
            raise InvalidSpec(
                "only the stage1 native mounts images as volumes", "take stage1_name out", where="volumes"
            )
        if self.recorded == FLY:
            declared = {volume.name for volume in spec.volumes}
            implicit = tuple(volume.name for volume in wanted.manifest.volumes if volume.name not in declared)
            return wanted.replace(warnings=(*wanted.warnings, *check_fly(wanted, implicit)))
        if self.image is None:
            return wanted
        interface = Interface.of(self.image.manifest)
        said = [f"{flag} option is not supported by stage1" for flag in interface.lacks(wanted.runspec)]
        unknown = _unknown_to_rkt(wanted)
        if unknown:
            said.append(f"rkt had none of these, and a stage1 image may not apply them: {', '.join(unknown)}")
        return wanted.replace(stage1=self.image, warnings=(*wanted.warnings, *said))


def ensure_stage1(host: Host, spec: PodSpec, ensure: Ensure | None = None) -> Plan[FoundStage1]:
    """Plan: the stage1 that a pod asks for is at hand. ensure: the plan of an image, by default that of tasks.

    Raises InvalidSpec, NotFound.
    """
    config = configured_stage1(host.paths)
    reference, trusted = _chosen(host, spec.stage1, config)
    if isinstance(reference, str):
        return FoundStage1(reference)
    policy = spec.policy.replace(pull="never" if spec.policy.pull == "never" else "new", signature="")
    if trusted:
        policy = policy.replace(insecure=tuple(sorted({*policy.insecure, "image"})))
    image = yield from (
        ensure(reference, policy) if ensure is not None else ensure_image(host, reference, policy)
    )
    if image is None:
        return FoundStage1(UNKNOWN_ID)
    Interface.of(image.manifest)
    return FoundStage1(str(image.id), image)


def _chosen(host: Host, choice: Stage1Choice, config: Config) -> tuple[ImageReference | str, bool]:
    """The reference of an image, or the flavour; and whether its place makes it trusted without a signature."""
    if not choice.asked:
        return _default(host, config)
    (way, text), *_more = choice.asked
    where = f"stage1_{way}"
    if way == "name":
        return _named(text, where), False
    if way == "hash":
        return _keyed(text, where), False
    if way == "from_dir":
        return _in_directory(host, text, config)
    if way == "path":
        path = os.path.abspath(text)
        return LocalFile(path), _is_trusted(host, path, config)
    if "://" not in text:
        raise InvalidSpec(
            f'"{text}" is not a URL', "write file, docker, http or https before ://", where=where
        )
    return parse_reference(text, where, keys=False, relative=False), False


def _named(text: str, where: str) -> ImageReference | str:
    name = text.partition(":")[0]
    flavour = text if text in (NATIVE, FLY) else name[len(_PREFIX) :] if name.startswith(_PREFIX) else ""
    if flavour in _BUILT_IN:
        return _BUILT_IN[flavour]
    try:
        return parse_appc_name(text)
    except InvalidSpec as err:
        raise InvalidSpec(err.reason, err.hint, where=where) from err


def _keyed(text: str, where: str) -> ImageReference:
    reference = parse_reference(text, where, relative=False)
    if not isinstance(reference, ImageKey):
        raise InvalidSpec(f'"{text}" is not the ID of an image', "write sha512- and its digits", where=where)
    return reference


def _in_directory(host: Host, name: str, config: Config) -> tuple[ImageReference | str, bool]:
    if "/" in name or name in ("", ".", ".."):
        raise InvalidSpec(
            f'"{name}" is not the name of a file', "use stage1_path for a path", where="stage1_from_dir"
        )
    path = f"{_directory(host, config)}/{name}"
    if not os.path.exists(path):
        flavours = [kind for flavour, kind in _BUILT_IN.items() if name == _FILE.format(flavour)]
        if flavours:
            return flavours[0], True
        raise NotFound(
            f"there is no stage1 image {path}",
            "put it there, or configure stage1-images in paths.d",
            where="stage1_from_dir",
        )
    return LocalFile(path), _is_trusted(host, path, config)


def _default(host: Host, config: Config) -> tuple[ImageReference | str, bool]:
    """The stage1 of the configuration, NATIVE without one. Raises NotFound if it is at no place. Source: D22."""
    if not config.stage1_name and not config.stage1_location:
        return NATIVE, True
    if config.stage1_name:
        reference = _named(f"{config.stage1_name}:{config.stage1_version}", "stage1.d")
        if isinstance(reference, str):
            return reference, True
        if not config.stage1_version.endswith(_DIRTY) and _is_stored(host, reference):
            return reference, True
    if not config.stage1_location:
        raise NotFound(_NO_DEFAULT, "add a location to the document in stage1.d, or fetch the image")
    place = config.stage1_location
    if place.startswith("/"):
        return LocalFile(place), _is_trusted(host, place, config)
    return parse_reference(place, "stage1.d", keys=False, relative=False), False


def _is_stored(host: Host, reference: ImageReference) -> bool:
    try:
        return find.stored(host, reference) is not None
    except (Corrupt, NotFound):
        return False


def _directory(host: Host, config: Config) -> str:
    return config.stage1_images or host.paths.stage1_images


def _is_trusted(host: Host, path: str, config: Config) -> bool:
    """Whether a file is in the directory of stage1 images, and only root can have put it there. Source: D23."""
    directory = os.path.realpath(_directory(host, config))
    if os.path.realpath(os.path.dirname(path)) != directory or os.path.islink(path):
        return False
    try:
        found = [os.stat(place) for place in (directory, path)]
    except OSError:
        return False
    return all(info.st_uid == 0 and not info.st_mode & _BY_OTHERS for info in found)


def check_fly(wanted: Preparation, implicit: Sequence[str]) -> tuple[str, ...]:
    """Warnings about what fly does not do for a pod. implicit: mount points without a volume.

    Raises InvalidSpec for what it cannot do at all. Pure. Source: behaviours D29, D30.
    """
    manifest, runspec = wanted.manifest, wanted.runspec
    if len(manifest.apps) > 1:
        raise InvalidSpec(
            "fly only supports 1 application per Pod for now", "make a pod of each app", where="apps"
        )
    if implicit:
        raise InvalidSpec(
            f'missing volume for mountPoint "{implicit[0]}"',
            "fly makes none: declare a volume",
            where="volumes",
        )
    if manifest.ports:
        raise InvalidSpec("fly cannot forward ports: its app has the network of the host", where="ports")
    if runspec.private_users:
        raise InvalidSpec(
            "fly has no users of its own: its app has those of the host",
            "set private_users: false, or take another stage1",
            where="private_users",
        )
    app = manifest.apps[0].app
    asked = [str(isolator.name) for isolator in (*manifest.isolators, *(app.isolators if app else ()))]
    if app and app.event_handlers:
        asked.append("event handlers")
    if runspec.hostname:
        asked.append("hostname")
    if any(net.name not in ("default", "host") for net in runspec.networks):
        asked.append("networks")
    if runspec.ipc == "private":
        asked.append("ipc")
    modes = manifest.apps[0].annotations
    asked += ["sdnotify"] if modes.get(NOTIFY) == "true" else []
    asked += [name for name, usual in _STDIO if modes.get(f"{_OF_STDIO}{name}") not in (None, usual)]
    asked += _of_supervisor(wanted)
    said = f"fly isolates nothing, and does not apply: {', '.join(asked)}"
    return (said,) if asked else ()


def _of_supervisor(wanted: Preparation) -> list[str]:
    """The options of a pod that the native stage1 alone knows, where they are not at their defaults. Pure."""
    runspec, annotations = wanted.runspec, [app.annotations for app in wanted.manifest.apps]
    found = [name for name in _OF_RUN if getattr(runspec, name) != getattr(RunSpec, name)]
    return found + [
        option for option, name in _ANNOTATIONS if any(held.get(name) is not None for held in annotations)
    ]


def _unknown_to_rkt(wanted: Preparation) -> list[str]:
    """What a pod asks for by members, annotations and isolators of documents that rkt did not have. Pure."""
    manifest = wanted.manifest
    found = [name for name in ("tmpfs", "privileged") if any(getattr(app, name) for app in manifest.apps)]
    found += ["uts"] if wanted.runspec.uts == "host" else []
    own = [str(each.name) for app in manifest.apps if app.app for each in app.app.isolators]
    # rkt left out isolators of whole pods.
    isolators = {
        *(name for name in own if name not in _RKTS),
        *(str(each.name) for each in manifest.isolators),
    }
    return [*found, *_of_supervisor(wanted), *sorted(isolators)]
