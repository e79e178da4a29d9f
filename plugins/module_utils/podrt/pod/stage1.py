# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface of a stage1 image, and the arguments of its entry run. Source: behaviours D24, D25, D32."""

from __future__ import annotations

from ..appc.image import ImageManifest
from ..errors import Corrupt, InvalidSpec
from ..fields import parse_json
from ..host.reading import decimal, read_bytes
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.dirs import PodDir
    from .runspec import RunSpec

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


def read_interface(pod: PodDir) -> Interface:
    """The interface of a pod's stage1 image. Raises Corrupt, OSError."""
    try:
        value = parse_json(read_bytes(pod.stage1_manifest, beneath=pod.path), pod.stage1_manifest)
        return Interface.of(ImageManifest.from_json(value))
    except InvalidSpec as err:
        raise Corrupt(f"cannot read the manifest of the pod's stage1: {err.message}", path=pod.path) from err
