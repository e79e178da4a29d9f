# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that are executed for the plugins of networks, where those are not built in. Source: behaviours E9."""

from __future__ import annotations

import os

from ..errors import NotFound
from ..host.reading import check_kept
from ..value import Value
from .kinds import FLANNEL, IPAM_TYPES, TYPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..host.paths import Paths
    from .conf import ChosenNet, NetConf
    from .plugin import Plugin


class PluginPrograms(Value):
    """Where programs are. found: types and paths. dirs: the directories that were searched, in order.

    fuller: types that are built in, and the programs of those, for configurations with members that only these know.
    """

    found: tuple[tuple[str, str], ...] = ()
    dirs: tuple[str, ...] = ()
    fuller: tuple[tuple[str, str], ...] = ()

    def resolve(self, conf: NetConf) -> NetConf:
        """The network with the programs of its plugins. Raises NotFound for one that is missing. Pure."""
        return conf.replace(plugins=tuple(self._resolved(conf, plugin) for plugin in conf.plugins))

    def _resolved(self, conf: NetConf, plugin: Plugin) -> Plugin:
        program = self._of(conf, plugin.type, TYPES, plugin.beyond)
        # A program that makes the interface executes that of its IPAM itself.
        ipam_program = "" if program else self._of(conf, plugin.ipam.type, IPAM_TYPES, plugin.ipam.beyond)
        return plugin.replace(program=program, ipam_program=ipam_program)

    def _of(self, conf: NetConf, kind: str, built_in: Sequence[str], beyond: Sequence[str]) -> str:
        path = dict(self.fuller if beyond else self.found).get(kind, "")
        if not path and (beyond or kind not in built_in):
            raise NotFound(
                f'Could not find plugin "{kind}" for network "{conf.name}"; looked in {", ".join(self.dirs)}',
                f"what is built in of {kind} has no {', '.join(beyond)}: take it out, or install CNI's program"
                if beyond
                else f"built in are {', '.join((*TYPES, FLANNEL))} with {', '.join(filter(None, IPAM_TYPES))}",
                network=conf.name,
                plugin=kind,
            )
        return path


NO_PROGRAMS = PluginPrograms()


def find_delegates(chosen: Iterable[ChosenNet], paths: Paths) -> tuple[ChosenNet, ...]:
    """The networks, with delegates in the place of those that stand for others.

    Not where the administrator has a program for it. Raises NotFound, InvalidSpec, HostFailure.
    """
    return tuple(_delegated(net, paths) if net.conf.type == FLANNEL else net for net in chosen)


def _delegated(net: ChosenNet, paths: Paths) -> ChosenNet:
    if find_program(FLANNEL, paths.plugin_dirs):
        return net
    from .flannel import delegated  # for few hosts

    return delegated(net)


def find_programs(chosen: Iterable[ChosenNet], paths: Paths) -> PluginPrograms:
    """The programs for plugins of networks: of the administrator for any type, else for what is not built in.

    Raises InvalidSpec for one that others than root can change.
    """
    plugins = [plugin for net in chosen for plugin in net.conf.plugins]
    kinds = [kind for plugin in plugins for kind in (plugin.type, plugin.ipam.type)]
    known = {kind for kind in kinds if (kind in TYPES or kind in IPAM_TYPES) and not _has_daemon(kind, paths)}
    everywhere = (*paths.plugin_dirs, *paths.cni_dirs)
    own = _kept_programs(filter(known.__contains__, kinds), paths.plugin_dirs)
    others = _kept_programs((kind for kind in kinds if kind not in known), everywhere)
    asking = [each for plugin in plugins for each in (plugin, plugin.ipam) if each.beyond]
    fuller = _kept_programs((each.type for each in asking), everywhere)
    return PluginPrograms((*own, *others), everywhere, fuller)


def _kept_programs(kinds: Iterable[str], directories: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Types and their programs, those that there are. Raises InvalidSpec for one that others than root can change."""
    found = []
    for kind in dict.fromkeys(filter(None, kinds)):
        path = find_program(kind, directories)
        if path:
            check_kept(os.path.dirname(path))
            check_kept(path)
            found.append((kind, path))
    return tuple(found)


def _has_daemon(kind: str, paths: Paths) -> bool:
    """Whether CNI's own daemon for leases runs: then it renews those of pods as well."""
    return kind == "dhcp" and os.path.exists(paths.cni_dhcp)


def find_program(name: str, directories: Sequence[str]) -> str:
    """The path of a program, "" without one."""
    for directory in directories:
        path = f"{directory}/{name}"
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return ""
