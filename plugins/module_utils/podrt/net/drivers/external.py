# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugins that are programs: CNI's protocol, as the runtime speaks it.

A program gets its configuration by standard input and all else by variables, and answers by standard output. What it
answers is taken as from a stranger: bounded, and parsed before it counts.
Source: containernetworking/cni SPEC.md, sections 2 to 5; behaviours E9, E10.
"""

from __future__ import annotations

import os

from ...contexts import contextmanager
from ...errors import HostFailure, InvalidSpec, printable, reason_of
from ...fields import Fields, canonical_json, parse_json
from ...host import programs
from ...host.locks import FileLock
from ...host.reading import check_kept
from ..netargs import for_programs, pairs_of
from ..programs import find_program
from ..result import VERSIONS, NetResult
from ..rules import MASQUERADED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ...host.paths import Paths
    from ..attached import AttachedContainer
    from ..conf import NetConf
    from ..member import NetMember
    from ..plugin import Plugin

ADD, DEL, CHECK, GC = "ADD", "DEL", "CHECK", "GC"
# A server of addresses may be slow to answer; what is removed is not waited for as long.
_SECONDS = {ADD: 90.0, CHECK: 30.0, DEL: 60.0, GC: 60.0}
# The first versions with CHECK, and with GC. Plugins of older ones do not get the result with DEL either.
_WITH_CHECK = VERSIONS.index("0.4.0")
_LONGEST = 1024
# The second is what the first SPEC.md with GC had: a program that looks for it alone would forget everything.
# Source: containernetworking/cni SPEC.md, "GC"; its issue 1101.
_ATTACHED = ("cni.dev/valid-attachments", "cni.dev/attachments")
# Addresses of an answer, routes or interfaces: an address becomes lines in the hosts files of all pods of its network.
_MOST = 1000


class ProgramDriver:
    """The driver of programs."""

    def address(self, member: NetMember) -> NetResult:
        """Have the IPAM program of the first plugin give addresses. Raises HostFailure."""
        plugin = member.conf.main
        if not plugin.ipam_program:
            return NetResult()
        return self._added(member, plugin, plugin.ipam_program, NetResult())

    def add(self, member: NetMember, plugin: Plugin, before: NetResult) -> NetResult:
        """Raises HostFailure with the plugin and the network."""
        return self._added(member, plugin, plugin.program, before)

    def remove(self, member: NetMember, plugin: Plugin, result: NetResult) -> None:
        """Raises HostFailure."""
        given = result if _index(member.conf) >= _WITH_CHECK and result.ips else NetResult()
        if plugin.program:
            with _with_netns(member, plugin, result) as found:
                _call(DEL, found, plugin, _present(member, plugin.program), given)
        if plugin.ipam_program:
            _call(DEL, member, plugin, _present(member, plugin.ipam_program), given)

    def check(self, member: NetMember, plugin: Plugin, result: NetResult) -> None:
        """Have a program look whether all is still as it was made. Raises HostFailure where it is not."""
        if plugin.program and member.conf.checked and _index(member.conf) >= _WITH_CHECK:
            _call(CHECK, member, plugin, plugin.program, result)

    def collect(
        self, conf: NetConf, plugin: Plugin, attached: Iterable[AttachedContainer], paths: Paths
    ) -> None:
        """Have the programs of a plugin forget what is attached to its network, but for these. Raises HostFailure."""
        valid = [each.to_json() for each in attached]
        stdin = _config(conf, plugin, {name: valid for name in _ATTACHED})
        for program in filter(None, (plugin.program, plugin.ipam_program)):
            _execute(GC, conf, program, stdin, _of_host(paths, GC))

    def _added(self, member: NetMember, plugin: Plugin, program: str, before: NetResult) -> NetResult:
        answer = _call(ADD, member, plugin, program, before)
        what = f"the answer of plugin {os.path.basename(program)}"
        try:
            result = NetResult.from_json(parse_json(answer, what), what)
        except InvalidSpec as err:
            raise _failed(member.conf, program, f"its answer is not a result: {err.message}") from err
        if max(map(len, (result.ips, result.routes, result.interfaces))) > _MOST:
            raise _failed(
                member.conf, program, f"its answer has more than {_MOST} addresses, routes or interfaces"
            )
        return result


def complaints(members: Sequence[tuple[NetMember, NetResult]]) -> tuple[tuple[int, str], ...]:
    """What programs miss of what they have made for a pod, in words, each with the number of its network.

    Raises nothing: a program that cannot be asked has its complaint as well.
    """
    driver, found = ProgramDriver(), []
    for member, result in members:
        for plugin in member.conf.plugins:
            try:
                driver.check(member, plugin, result)
            except HostFailure as err:
                found.append((member.place.index, err.message))
    return tuple(found)


@contextmanager
def _with_netns(member: NetMember, plugin: Plugin, result: NetResult) -> Iterator[NetMember]:
    """The pod with its network namespace, or where that has gone with another one, as far as that is of use."""
    if member.pod.netns or plugin.type not in MASQUERADED or not result.ips:
        yield member
        return
    from ..standin import standing_in

    try:
        with standing_in(member.place, result) as netns:
            yield member.replace(pod=member.pod.replace(netns=netns))
    except OSError as err:
        raise _failed(
            member.conf, plugin.program, f"no network namespace can be made: {reason_of(err)}"
        ) from err


def _present(member: NetMember, program: str) -> str:
    """The program, or one of its name in another place, if it has moved. Raises HostFailure."""
    paths = member.pod.paths
    found = program if os.path.exists(program) else ""
    found = found or find_program(os.path.basename(program), (*paths.plugin_dirs, *paths.cni_dirs))
    if not found:
        raise _failed(
            member.conf,
            program,
            f"{program} is missing",
            "install it again: what it has made for the pod is left",
        )
    return found


def _index(conf: NetConf) -> int:
    return VERSIONS.index(conf.cni_version)


def _call(command: str, member: NetMember, plugin: Plugin, program: str, result: NetResult) -> bytes:
    """Execute a program for a pod. Returns its standard output. Raises HostFailure, Conflict, OSError."""
    stdin = _config(member.conf, plugin, _added_for(member, plugin, result))
    with _alone(member):
        return _execute(command, member.conf, program, stdin, _variables(command, member))


def _execute(command: str, conf: NetConf, program: str, stdin: bytes, variables: Mapping[str, str]) -> bytes:
    """Execute a program, as long as root alone can change it. Returns its standard output. Raises HostFailure."""
    try:
        for path in (os.path.dirname(program), program):
            check_kept(path)
        called = f"plugin {os.path.basename(program)}"
        done = programs.run([program], stdin=stdin, env=variables, seconds=_SECONDS[command], called=called)
    except OSError as err:
        raise _failed(conf, program, f"it cannot be started: {err.strerror}") from err
    except (HostFailure, InvalidSpec) as err:
        raise _failed(conf, program, err.message, err.hint) from err
    if done.status:
        raise _failed(conf, program, _complaint(done))
    return done.stdout


@contextmanager
def _alone(member: NetMember) -> Iterator[None]:
    """Be the only one that executes programs for a pod. Raises Conflict, OSError.

    The program holds the lock as well: one that outlives this process may still be adding what is to be removed. Once
    it has ended by itself, what it has left running holds nothing.
    """
    if not os.path.isdir(member.pod.conf_dir):  # a pod of which nothing is left but the name
        yield
        return
    with FileLock(member.pod.conf_dir, timeout=_SECONDS[ADD] + _SECONDS[DEL]) as lock:
        os.set_inheritable(lock.fd, True)
        yield
        lock.release()


def _variables(command: str, member: NetMember) -> dict[str, str]:
    """Source: CNI's SPEC.md, section 2; CNI_VERSION is rkt's, see behaviours E9."""
    return {
        **_of_host(member.pod.paths, command),
        "CNI_VERSION": member.conf.cni_version,
        "CNI_CONTAINERID": member.pod.uuid,
        "CNI_NETNS": member.pod.netns,
        "CNI_IFNAME": member.place.if_name,
        "CNI_ARGS": for_programs(pairs_of(member.args)),
    }


def _of_host(paths: Paths, command: str) -> dict[str, str]:
    """The variables that are the same for all pods."""
    return {
        "PATH": programs.PATH,
        "LC_ALL": "C",
        "CNI_COMMAND": command,
        "CNI_PATH": ":".join((*paths.plugin_dirs, *paths.cni_dirs)),
    }


def _added_for(member: NetMember, plugin: Plugin, result: NetResult) -> dict[str, object]:
    """What a program gets for a pod beside its configuration."""
    added: dict[str, object] = {}
    runtime = {
        name: parse_json(text.encode(), name) for name, text in member.runtime if name in plugin.capabilities
    }
    if runtime:
        added["runtimeConfig"] = runtime
    if result.ips or result.interfaces:
        added["prevResult"] = result.to_json(member.conf.cni_version)
    return added


def _config(conf: NetConf, plugin: Plugin, added: Mapping[str, object]) -> bytes:
    """The configuration of a plugin: as it is in its file where nothing is to be added."""
    if not conf.is_list and not added:
        return conf.raw.encode()
    members = _object_of(conf, plugin)
    members.pop("capabilities", None)
    return canonical_json({**members, "name": conf.name, "cniVersion": conf.cni_version, **added})


def _object_of(conf: NetConf, plugin: Plugin) -> dict[str, object]:
    """The members of a plugin, as its file has them."""
    whole = parse_json(conf.raw.encode(), conf.file_name)
    if conf.is_list:
        number = next(at for at, each in enumerate(conf.plugins) if each is plugin)
        whole = list(Fields(whole, conf.file_name).items("plugins"))[number][0]
    return dict(whole) if isinstance(whole, dict) else {}


def _complaint(done: programs.Completed) -> str:
    """The error of a program: that of its answer, or what it has printed. Source: CNI's SPEC.md, "Error"."""
    try:
        fields = Fields(parse_json(done.stdout, "the answer"), "the answer")
        told = [fields.text("msg", ""), fields.text("details", "")]
    except InvalidSpec:
        told = []
    texts = list(filter(None, told)) or [done.complaint]
    return printable("; ".join(texts))[:_LONGEST]


def _failed(conf: NetConf, program: str, why: str, hint: str = "") -> HostFailure:
    name = os.path.basename(program)
    return HostFailure(
        f'plugin "{name}" of network "{conf.name}": {why}',
        hint,
        network=conf.name,
        plugin=name,
    )
