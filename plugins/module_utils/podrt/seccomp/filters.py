# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The seccomp filter of an app: from its isolators to a compiled program, cached by the hash of its inputs.

Compiling takes 30 ms and libseccomp; loading the program takes neither, so compiling is done when a pod is prepared.
Source: seccomp(2), libseccomp, behaviours C49 to C53 and ruling 6.
"""

from __future__ import annotations

import errno
import os

from ..appc.isolators import Seccomp
from ..errors import HostFailure, InvalidSpec, Unsupported
from ..host.digests import sha256
from ..host.files import make_dirs
from ..value import Value
from . import files as filter_files
from . import sets
from .socket_guard import SOCKETS, guard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import BinaryIO, Protocol

    from ..appc.app import App
    from ..host.paths import Paths

    class SyscallFilter(Protocol):
        """What pyseccomp has of that name, as far as it is used."""

        def add_arch(self, arch: int) -> None:
            """Make the filter one of another architecture too."""

        def add_rule(self, action: int, syscall: str, *arguments: object) -> None:
            """Let a call with such arguments, Arg of pyseccomp, have another action."""

        def export_bpf(self, file: BinaryIO) -> None:
            """Write the program."""


_VERSION = 4
_KILL, _ENOSYS = "kill", "ENOSYS"
# Calls that a set allows with harmless arguments only; one that is named individually is allowed with any.
CHECKED = ("clone", "personality", "prlimit64", *SOCKETS)
_OURS = "pods"
# Every namespace flag of clone(2) but CLONE_NEWTIME. Source: docker's default profile.
_CLONE_NAMESPACES = 0x7E020000
_INT = 0xFFFFFFFF
_PERSONALITIES = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)
EVERYTHING, NOTHING = "@appc.io/all", "@appc.io/empty"
DEFAULT_SET = "@docker/default-whitelist"
_SUB_ARCHES = {"amd64": ("X86", "X32"), "aarch64": ("ARM",)}
_ARM_ONLY = (
    "arm_fadvise64_64",
    "arm_sync_file_range",
    "breakpoint",
    "cacheflush",
    "set_tls",
    "sync_file_range2",
)


class Profile(Value):
    """A filter before it is compiled.

    default and action: "allow", "kill" or the name of an errno; names get action, all other calls default. checked:
    those of CHECKED that are allowed with harmless arguments only. clone3 fails with ENOSYS, so that libc falls back
    to clone.
    """

    default: str
    action: str
    names: tuple[str, ...]
    checked: tuple[str, ...] = ()


def profile_of(app: App, arch: str) -> Profile | None:
    """The filter that an app's isolators ask for, None for no filter. Pure. Raises InvalidSpec."""
    isolators = [isolator for isolator in app.isolators if isinstance(isolator, Seccomp)]
    if len(isolators) > 1:
        raise InvalidSpec("at most one seccomp isolator is allowed", where="isolators")
    if not isolators or (isolators[0].mode == "remove" and isolators[0].names == (NOTHING,)):
        return _default_profile(arch)
    isolator = isolators[0]
    if isolator.mode == "retain" and EVERYTHING in isolator.names:
        return None
    refusal = isolator.errno or _KILL
    if refusal != _KILL and not hasattr(errno, refusal):
        raise InvalidSpec(
            f'"{refusal}" is not an errno of this machine', "errno(3) lists them", where="seccomp.errno"
        )
    if isolator.mode == "retain":
        return _whitelist(refusal, isolator.names, arch)
    names = {name for item in isolator.names for name in expanded(item, arch)}
    return Profile("allow", refusal, tuple(sorted(names)))


def default_calls(arch: str) -> frozenset[str]:
    """The calls that the default filter allows, those of CHECKED included. Pure."""
    profile = _default_profile(arch)
    return frozenset((*profile.names, *profile.checked))


def unknown_items(app: App) -> tuple[str, ...]:
    """The unknown calls and sets of an app's isolators, which have no effect. Pure."""
    items = [name for isolator in app.isolators if isinstance(isolator, Seccomp) for name in isolator.names]
    return tuple(item for item in items if item not in (EVERYTHING, NOTHING) and not _is_known(item))


def compile_filter(paths: Paths, app: App, *, insecure: bool, arch: str) -> bytes | None:
    """The compiled filter of an app, None without one. Compiles the same profile at most once.

    Raises InvalidSpec, Unsupported when libseccomp is missing, HostFailure.
    """
    profile = None if insecure else profile_of(app, arch)
    if profile is None:
        return None
    cached = f"{paths.filters}/{_key(profile, arch)}"
    try:
        kept = filter_files.intact(cached)
        if kept is not None:
            return kept
        program = _compiled(profile, arch)
        make_dirs(paths.filters)
        filter_files.replace(cached, program)
    except OSError as err:
        raise HostFailure.of("cannot keep a seccomp filter", err) from err
    return program


def _default_profile(arch: str) -> Profile:
    """The calls that rkt allowed by default and those that a current libc needs; a refused one fails with EPERM."""
    return _whitelist("EPERM", (DEFAULT_SET,), arch)


def _whitelist(refusal: str, items: tuple[str, ...], arch: str) -> Profile:
    """A filter of these calls, those that sets name with harmless arguments only, and those that all programs need."""
    named = {item for item in items if not item.startswith("@")}
    from_sets = {name for item in items if item.startswith("@") for name in expanded(item, arch)} - named
    checked = tuple(name for name in CHECKED if name in from_sets)
    names = {*named, *from_sets, *sets.ALWAYS, *sets.OURS} - set(checked)
    return Profile(refusal, "allow", tuple(sorted(names)), checked)


def expanded(item: str, arch: str) -> tuple[str, ...]:
    """The calls of an item, which is a call or a set; an unknown set has none. Source: behaviours C49."""
    if not item.startswith("@"):
        return (item,)
    scope, _sep, name = item[1:].partition("/")
    if scope in ("docker", "rkt") and name == "default-whitelist":
        arm = _ARM_ONLY if arch.startswith(("arm", "aarch64")) else ()
        return (*sets.DOCKER_WHITELIST, *sets.NEWER, *arm)
    if scope in ("docker", "rkt") and name == "default-blacklist":
        return sets.DOCKER_BLACKLIST
    if scope == _OURS and name in CHECKED:
        return (name,)
    if scope == "systemd":
        return sets.SYSTEMD.get("default" if name == "default-whitelist" else name, ())
    return ()


def _is_known(item: str) -> bool:
    if item.startswith("@"):
        return bool(expanded(item, ""))
    lists = (sets.DOCKER_WHITELIST, sets.NEWER, sets.DOCKER_BLACKLIST, sets.ALWAYS, sets.OURS, _ARM_ONLY)
    return any(item in names for names in (*lists, *sets.SYSTEMD.values()))


def _key(profile: Profile, arch: str) -> str:
    kernel = os.uname().machine
    return sha256(repr((_VERSION, profile, arch, kernel)).encode()).hexdigest() + ".bpf"


def _library() -> ModuleType:
    try:
        import pyseccomp
    except ModuleNotFoundError as err:
        raise Unsupported(
            f"cannot compile a seccomp filter: {err}",
            "it travels with the runtime: install that again with the module pod_runtime, in a checkout by make venv",
            library="pyseccomp",
        ) from err
    except (ImportError, RuntimeError, OSError) as err:
        raise Unsupported(
            f"cannot compile a seccomp filter: {err}",
            "install libseccomp, as role pod_host does, or set insecure_options: [seccomp]",
            library="libseccomp",
        ) from err
    library: ModuleType = pyseccomp
    return library


def _compiled(profile: Profile, arch: str) -> bytes:
    library = _library()
    actions: dict[str, int] = {"allow": library.ALLOW, _KILL: library.KILL_PROCESS}

    def action_of(name: str) -> int:
        return actions[name] if name in actions else library.ERRNO(getattr(errno, name))

    program: SyscallFilter = library.SyscallFilter(defaction=action_of(profile.default))
    for sub_arch in _SUB_ARCHES.get(arch, ()):
        program.add_arch(getattr(library.Arch, sub_arch))
    action = action_of(profile.action)
    for name in profile.names:
        if name != "clone3" or profile.action != "allow":
            _add(program, action, name)
    for name in profile.checked:
        for arguments in _harmless(library, name):
            _add(program, action, name, *arguments)
    if profile.default != "allow":
        _add(program, action_of(_ENOSYS), "clone3")
    return guard(profile.checked, arch, action_of(profile.default)) + _exported(program)


def _harmless(library: ModuleType, name: str) -> tuple[tuple[object, ...], ...]:
    """The arguments that a checked call is allowed with, as rules; the guard checks those of sockets."""
    check = library.Arg
    if name == "clone":
        return ((check(0, library.MASKED_EQ, _CLONE_NAMESPACES, 0),),)
    if name == "personality":
        return tuple((check(0, library.EQ, persona),) for persona in _PERSONALITIES)
    if name == "prlimit64":
        # Its own limits, or only a query: PID 1 has the user of an app that is root. The kernel takes an int.
        return ((check(0, library.MASKED_EQ, _INT, 0),), (check(2, library.EQ, 0),))
    return ((),)


def _add(program: SyscallFilter, action: int, name: str, *arguments: object) -> None:
    """Add a rule, unless this machine does not have the call, or the rule does the same as the default."""
    try:
        program.add_rule(action, name, *arguments)
    except (OSError, RuntimeError, ValueError):
        return


def _exported(program: SyscallFilter) -> bytes:
    fd = os.memfd_create("filter", os.MFD_CLOEXEC)
    with os.fdopen(fd, "w+b") as file:
        program.export_bpf(file)
        return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)
