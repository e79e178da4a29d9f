# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage1 of a pod: what it was prepared with, as its directory records, and how stage0 calls its entries.

stage0 calls every entry as a process of the podctl of the pod's own runtime, so that an upgrade never changes a pod
that is there. Which kind of stage1 it is, matters to that podctl alone: see stage1.entries.
"""

from __future__ import annotations

import os

from ..appc.image import ImageManifest
from ..errors import Corrupt, InvalidSpec, PodError
from ..fields import parse_json
from ..host.host import file_of_runtime
from ..host.reading import decimal, read_bytes
from ..value import Value
from . import documents
from .runspec import FLY, NATIVE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.dirs import PodDir
    from ..host.host import Host
    from .lifecycle import Pod
    from .runspec import RunSpec

IMAGE = "image"
# Source: behaviours D24, D32.
NEWEST_VERSION = 6
_RKT, _OURS = "coreos.com/rkt/stage1/", "stagecraft.pods/stage1/"
_VERSION = f"{_RKT}interface-version"
_IN_IMAGES = {
    "run": f"{_RKT}run",
    "enter": f"{_RKT}enter",
    "gc": f"{_RKT}gc",
    "stop": f"{_RKT}stop",
    "rehearse": f"{_OURS}rehearse",
    "mend": f"{_OURS}mend",
}
HOSTNAME, INSECURE, DNS, CONFIG, IPC = 2, 3, 4, 5, 6
# The entries, as commands of podctl.
_COMMANDS = {
    "run": ("run-prepared", "--detach"),
    "rehearse": ("rehearse",),
    "stop": ("stop",),
    "mend": ("mend",),
    "gc": ("stage1-gc",),
}
# The modules of a runtime that give it an entry: of this release, and of those before 0.3.0.
_ADDED = {"mend": ("stage1/starter/mend.py", "stage1/mend.py")}


class Interface(Value):
    """What the manifest of a stage1 image says: its interface version, and pairs of an entry and its path."""

    version: int = 1
    entries: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, manifest: ImageManifest) -> Interface:
        """Read the annotations. Raises InvalidSpec unless it is the manifest of a stage1 image."""
        annotations = manifest.annotations
        found = tuple((entry, annotations.get(name) or "") for entry, name in _IN_IMAGES.items())
        entries = tuple((entry, path) for entry, path in found if path)
        if "run" not in dict(entries):
            raise InvalidSpec(
                f"image {manifest.full_name} is no stage1 image: it has no annotation {_IN_IMAGES['run']}",
                "name the image of a stage1, or leave it out for the runtime's own",
            )
        text = annotations.get(_VERSION)
        version = 1 if text is None else decimal(text) or 0
        if version < 1:
            raise InvalidSpec(
                f'the stage1 image {manifest.full_name} has the interface version "{text}", which is no number',
                f"its annotation {_VERSION} must be 1 to {NEWEST_VERSION}",
            )
        return cls(version, entries)

    def path(self, entry: str) -> str:
        """The path of an entry in the root, "" if it has none."""
        return dict(self.entries).get(entry, "")

    def lacks(self, runspec: RunSpec) -> tuple[str, ...]:
        """The flags of run that a pod needs and this version does not know. Source: behaviours D25, D32."""
        asked = (
            ("--hostname", HOSTNAME, bool(runspec.hostname)),
            *((f"--disable-{_DISABLED[each]}", INSECURE, True) for each in runspec.insecure),
            ("--dns-conf-mode", DNS, dns_conf_mode(runspec) != ""),
            ("--ipc", IPC, runspec.ipc != "auto"),
        )
        return tuple(flag for flag, since, wanted in asked if wanted and self.version < since)


_DISABLED = {"capabilities": "capabilities-restriction", "paths": "paths", "seccomp": "seccomp"}
_MODES = {"auto": "default", "custom": "stage0"}


def dns_conf_mode(runspec: RunSpec) -> str:
    """The value of --dns-conf-mode, "" where both files are the usual ones. Source: behaviours D25."""
    resolv, hosts = (_MODES.get(mode, mode) for mode in (runspec.dns.mode, runspec.hosts.mode))
    return "" if (resolv, hosts) == ("default", "default") else f"resolv={resolv},hosts={hosts}"


def run_flags(interface: Interface, runspec: RunSpec, local_config: str) -> tuple[str, ...]:
    """The flags of the entry run that follow from the pod's documents, in rkt's order. Source: behaviours D25. Pure."""
    version, mode = interface.version, dns_conf_mode(runspec)
    nets = ",".join(
        ":".join((net.name, *((";".join(f"{key}={value}" for key, value in net.args),) if net.args else ())))
        for net in runspec.networks
    )
    flags = [f"--net={nets}", f"--local-config={local_config}"]
    if version >= HOSTNAME and runspec.hostname:
        flags.append(f"--hostname={runspec.hostname}")
    if version >= DNS and mode:
        flags.append(f"--dns-conf-mode={mode}")
    if version >= INSECURE:
        flags += [f"--disable-{word}" for option, word in _DISABLED.items() if option in runspec.insecure]
    if version >= IPC:
        flags.append(f"--ipc={runspec.ipc}")
    return tuple(flags)


class Stage1(Value):
    """The stage1 of one pod. kind: NATIVE, FLY or IMAGE. root: its root directory.

    runtime, podctl: those that the pod was prepared with. interface: of an image.
    """

    uuid: str
    kind: str
    root: str
    runtime: str
    podctl: tuple[str, ...]
    interface: Interface = Interface(NEWEST_VERSION)

    def argv(self, entry: str, *flags: str) -> tuple[str, ...]:
        """The process that is an entry, for this pod."""
        return (*self.podctl, *_COMMANDS[entry], *flags, self.uuid)

    @staticmethod
    def command(entry: str) -> str:
        """The name of an entry for people."""
        return f"podctl {_COMMANDS[entry][0]}"

    def offers(self, entry: str) -> bool:
        """Whether it has an entry that not every stage1 has."""
        if self.kind != NATIVE:
            return bool(self.interface.path(entry))
        return entry not in _ADDED or any(map(self.has_module, _ADDED[entry]))

    @property
    def shows_drift(self) -> bool:
        """Whether its networks and limits are those that the documents of the pod say."""
        return self.kind == NATIVE

    def has_module(self, name: str) -> bool:
        """Whether the pod's runtime has a module, by its file in podrt: it tells what that runtime does."""
        return os.path.isfile(file_of_runtime(self.runtime, name))


def stage1_of(host: Host, pod: Pod) -> Stage1:
    """The stage1 of a pod. Raises nothing: what cannot be read of a damaged record is left out."""
    pinned, kind = documents.pinned(host, pod), kind_of(pod.dir)
    interface = Stage1.interface
    if kind == IMAGE:
        try:
            interface = read_interface(pod.dir)
        except (OSError, PodError):
            interface = Interface()
    return Stage1(pod.uuid, kind, pod.dir.stage1_root, pinned.runtime, pinned.podctl, interface)


def kind_of(pod: PodDir) -> str:
    """The kind of a pod's stage1, by its run spec, or by other files where that is damaged. Raises nothing.

    A pod of a release up to 0.6.0 has no record, and is the runtime's.
    """
    recorded = documents.read_outline(pod).stage1
    if recorded in (NATIVE, FLY):
        return recorded
    return IMAGE if recorded or os.path.lexists(pod.stage1_tree_id) else NATIVE


def read_interface(pod: PodDir) -> Interface:
    """The interface of a pod's stage1 image. Raises Corrupt, OSError."""
    try:
        value = parse_json(read_bytes(pod.stage1_manifest, beneath=pod.path), pod.stage1_manifest)
        return Interface.of(ImageManifest.from_json(value))
    except InvalidSpec as err:
        raise Corrupt(f"cannot read the manifest of the pod's stage1: {err.message}", path=pod.path) from err
