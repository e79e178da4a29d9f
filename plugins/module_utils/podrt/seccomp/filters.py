# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The seccomp filter of an app: from its isolators to a compiled program, cached by the hash of its inputs.

Compiling takes 30 ms and libseccomp; loading the program takes neither, so compiling is done when a pod is prepared.
Source: seccomp(2), libseccomp, behaviours C49 to C53 and ruling 6.
"""

from __future__ import annotations

import errno
import os

from ..appc.capabilities import NAMES, bounding_set
from ..appc.isolators import SECCOMP_PROFILE, Seccomp
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
    from ..appc.isolators import Isolator
    from ..host.paths import Paths
    from .profiles import RuleSet

    class SyscallFilter(Protocol):
        """What pyseccomp has of that name, as far as it is used."""

        def add_arch(self, arch: int) -> None:
            """Make the filter one of another architecture too."""

        def add_rule(self, action: int, syscall: str, *arguments: object) -> None:
            """Let a call with such arguments, Arg of pyseccomp, have another action."""

        def export_bpf(self, file: BinaryIO) -> None:
            """Write the program."""


_VERSION = 4
_ALLOW, _KILL, _ENOSYS = "allow", "kill", "ENOSYS"
# Calls that a set allows with harmless arguments only; one that is named individually is allowed with any.
CHECKED = ("clone", "personality", "prlimit64", *SOCKETS)
_OURS = "pods"
# Every namespace flag of clone(2) but CLONE_NEWTIME. Source: docker's default profile.
_CLONE_NAMESPACES = 0x7E020000
_INT = 0xFFFFFFFF
_PERSONALITIES = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)
EVERYTHING, NOTHING = "@appc.io/all", "@appc.io/empty"
DEFAULT_SET = "@docker/default-whitelist"
_ACTIONS = {
    "allow": "ALLOW",
    "kill": "KILL_PROCESS",
    "kill-thread": "KILL_THREAD",
    "log": "LOG",
    "trap": "TRAP",
}
# A rule that is there already, and a call that none of the architectures has.
_HARMLESS_ERRORS = (errno.EEXIST, errno.EDOM)
_UNKNOWN_CALL = -1
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


def profile_of(app: App, arch: str) -> Profile | RuleSet | None:
    """The filter that an app's isolators ask for, None for no filter. Raises InvalidSpec."""
    isolators = [isolator for isolator in app.isolators if isinstance(isolator, Seccomp)]
    whole = [isolator for isolator in app.isolators if isolator.name == SECCOMP_PROFILE]
    if len(isolators) + len(whole) > 1:
        raise InvalidSpec("at most one seccomp isolator is allowed", where="isolators")
    if whole:
        return _rule_set(app, whole[0], arch)
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


def _rule_set(app: App, isolator: Isolator, arch: str) -> RuleSet:
    """The rules of a profile for an app, and the calls that all programs need, unless it has rules for them."""
    mask = bounding_set(app.isolators, insecure=False)
    held = frozenset(name for number, name in enumerate(NAMES) if mask >> number & 1)
    release = os.uname().release.replace("-", ".").split(".")[:2]
    kernel = tuple(int(part) for part in release if part.isdigit())
    value = isolator.to_json()
    profile = value.get("profile") if isinstance(value, dict) else None
    from . import profiles  # few apps have one

    found = profiles.rules_of(profile, profiles.Circumstances(held, arch, kernel), "seccomp_profile")
    if found.default == _ALLOW:
        return found
    named = {name for _action, name, _arguments in found.rules}
    needed = ((_ALLOW, name, ()) for name in (*sets.ALWAYS, *sets.OURS) if name not in named)
    return found.replace(rules=(*found.rules, *needed))


def default_calls(arch: str) -> frozenset[str]:
    """The calls that the default filter allows, those of CHECKED included. Pure."""
    profile = _default_profile(arch)
    return frozenset((*profile.names, *profile.checked))


def unknown_items(app: App) -> tuple[str, ...]:
    """The calls and sets of an app's isolators that neither the sets here nor libseccomp know: they have no effect."""
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
        program = _compiled(profile, arch) if isinstance(profile, Profile) else _compiled_rules(profile)
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
    return any(item in names for names in (*lists, *sets.SYSTEMD.values())) or _is_resolved(item)


def _is_resolved(call: str) -> bool:
    """Whether this machine's libseccomp knows a call. Without one, no filter can be compiled at all."""
    try:
        library = _library()
    except Unsupported:
        return True
    number: int = library.resolve_syscall(library.Arch.NATIVE, call)
    return number != _UNKNOWN_CALL


def _key(profile: Profile | RuleSet, arch: str) -> str:
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


def _compiled_rules(found: RuleSet) -> bytes:
    library = _library()
    program: SyscallFilter = library.SyscallFilter(defaction=_numbered(library, found.default))
    for arch in found.arches:
        known = getattr(library.Arch, arch, None)
        try:
            if not isinstance(known, int):  # any name of Python is an attribute
                raise AttributeError(arch)
            program.add_arch(known)
        except (AttributeError, OSError) as err:
            reason = f"libseccomp has no architecture {arch} beside that of this machine"
            raise InvalidSpec(reason, "take it out of the profile", where="seccomp_profile") from err
    for action, name, arguments in found.rules:
        if action == found.default:
            continue
        number = library.resolve_syscall(library.Arch.NATIVE, name)
        if number == _UNKNOWN_CALL:
            continue  # of a newer kernel than this machine's libseccomp
        checked = (library.Arg(at, getattr(library, op), *values) for at, op, *values in arguments)
        try:
            program.add_rule(_numbered(library, action), number, *checked)
        except (OSError, RuntimeError, ValueError) as err:
            if getattr(err, "errno", 0) not in _HARMLESS_ERRORS:
                reason = f"libseccomp refuses its rule for {name}: {err}"
                raise InvalidSpec(reason, "correct the profile", where="seccomp_profile") from err
    return _exported(program)


def _numbered(library: ModuleType, action: str) -> int:
    """The action of a rule set as libseccomp has it."""
    name, _colon, number = action.partition(":")
    if number:
        found: int = (library.ERRNO if name == "errno" else library.TRACE)(int(number))
        return found
    plain: int = getattr(library, _ACTIONS[name])
    return plain


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
