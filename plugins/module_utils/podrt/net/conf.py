# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network configurations: those that exist, and those that a pod asks for.

A .conf file is one plugin, a .conflist a chain of them, with those of the directory of its name. Source: behaviours
E.1, E.2; CNI's SPEC.md, section 1; containernetworking/cni libcni/conf.go.
"""

from __future__ import annotations

import os

from ..appc.alphabet import ALNUM, is_word
from ..errors import Corrupt, InvalidSpec, NotFound, first_of, reason_of
from ..fields import Fields, parse_json
from ..host.files import entries
from ..host.paths import NET_D
from ..host.reading import check_kept, read_trusted
from ..value import Value
from .plugin import Plugin
from .requests import ALL, HOST, NONE
from .result import VERSIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# A name becomes a directory of leases. Source: CNI's specification of "name".
_NAME = ALNUM + "_.-"
_LONGEST_NAME = 255
_ONE, _LIST = ".conf", ".conflist"
_SUFFIXES = (_ONE, _LIST)
_MOST_KNOWN = 10
# The member of a list that has its own plugins alone.
ALONE = "loadOnlyInlinedPlugins"

# Source: behaviours E28.
_BUILT_IN = (
    (
        "99-default-restricted.conf",
        '{"cniVersion":"0.1.0","name":"default-restricted","type":"ptp","ipMasq":false,'
        '"ipam":{"type":"host-local","subnet":"172.31.0.0/16"}}',
    ),
    (
        "99-default.conf",
        '{"cniVersion":"0.1.0","name":"default","type":"ptp","ipMasq":true,'
        '"ipam":{"type":"host-local","subnet":"172.16.28.0/24","routes":[{"dst":"0.0.0.0/0"}]}}',
    ),
)


class NetConf(Value):
    """One network. plugins: its chain, in which the first makes the interface. checked: whether CHECK may be asked.
    collected: whether GC may be.

    flaw: why the file could not be used; then there are no plugins, and where even the name is not known, it is "".
    Origin: directory "" is built in; raw is the document as it was read, for copies and programs.
    """

    name: str
    plugins: tuple[Plugin, ...] = ()
    cni_version: str = VERSIONS[0]
    checked: bool = True
    collected: bool = True
    file_name: str = ""
    directory: str = ""
    raw: str = "{}"
    flaw: InvalidSpec | None = None

    @classmethod
    def parse(cls, raw: bytes, file_name: str, directory: str = "") -> NetConf:
        """Read a configuration file. Raises InvalidSpec naming the file and the member."""
        conf = cls.read(raw, file_name, directory)
        if conf.flaw is not None:
            raise conf.flaw
        return conf

    @classmethod
    def read(cls, raw: bytes, file_name: str, directory: str = "") -> NetConf:
        """Read it, but keep an error as its flaw, which pods on other networks can ignore."""
        where = f"{directory}/{file_name}" if directory else file_name
        conf = cls("", file_name=file_name, directory=directory)
        try:
            fields = Fields(parse_json(raw, where), where)
            conf = conf.replace(name=_name(fields), raw=_text_of(raw, where))
            return conf.replace(
                plugins=_plugins(fields),
                cni_version=_version(fields),
                checked=not fields.boolean("disableCheck", False),
                collected=not fields.boolean("disableGC", False),
            )
        except InvalidSpec as err:
            return conf.replace(flaw=err)

    @property
    def main(self) -> Plugin:
        """The plugin that makes the interface."""
        return self.plugins[0]

    @property
    def type(self) -> str:
        """The type of the network."""
        return self.main.type

    @property
    def is_list(self) -> bool:
        """Whether its file is a chain, with plugins that have no name and version of their own."""
        return self.file_name.endswith(_LIST)

    @property
    def meaning(self) -> NetConf:
        """The network without its origin: equal for two files of the same meaning."""
        plugins = tuple(plugin.meaning for plugin in self.plugins)
        return self.replace(plugins=plugins, file_name="", directory="", raw="")


class ChosenNet(Value):
    """A network that a pod joins, and the arguments for the network's plugins.

    where: the option that asks for it, such as networks[0], or "".
    """

    conf: NetConf
    args: tuple[tuple[str, str], ...] = ()
    where: str = ""

    @property
    def args_text(self) -> str:
        """The arguments in the form of CNI_ARGS: K=V;K2=V2."""
        return ";".join(f"{key}={value}" for key, value in self.args)


def load_confs(
    config_dirs: Sequence[str], report: Callable[[str], None] | None = None
) -> tuple[NetConf, ...]:
    """Every known network: the built-in ones, and those of DIR/net.d/*.conf and *.conflist, later directories first.

    report receives a warning for each file that is ignored or that replaces another network. Files without a usable
    name are among them, since one of them may be the network that is asked for.
    Raises OSError for a directory that cannot be read.
    """
    known = {conf.name: conf for conf in (NetConf.parse(raw.encode(), name) for name, raw in _BUILT_IN)}
    nameless: list[NetConf] = []
    for config_dir in config_dirs:
        directory = f"{config_dir}/{NET_D}"
        found = _read_dir(directory)
        nameless += (conf for conf in found if not conf.name)
        for name, conf in _first_of_each_name(found, report).items():
            if name in known and report:
                report(f'overriding "{name}" network with one from {directory}')
            known[name] = conf
    for conf in nameless:
        if report:
            report(f"ignoring {conf.directory}/{conf.file_name}: {conf.flaw}")
    return tuple(sorted((*known.values(), *nameless), key=_order))


def with_loaded(conf: NetConf) -> NetConf:
    """A list with the plugins of DIR/NAME/*.conf after its own, unless it says that it has its own alone.

    The result says so: copies of it, which pods have, mean the same anywhere. An error is its flaw.
    """
    place = f"{conf.directory}/{conf.name}"
    if not conf.is_list or not conf.name or not os.path.isdir(place):
        return conf
    where = f"{conf.directory}/{conf.file_name}"
    try:
        fields = Fields(parse_json(conf.raw.encode(), where), where)
        if fields.boolean(ALONE, False) or fields.raw("plugins") == []:
            return conf
        own = [plugin for plugin, _where in fields.items("plugins")]
        loaded = _loaded(place)
        plugins = [*own, *(parse_json(each, place) for each in loaded)]
        whole = fields.replaced(plugins=plugins, **{ALONE: True})
    except InvalidSpec as err:
        return conf.replace(plugins=(), flaw=err)
    return NetConf.read(whole.canonical().encode(), conf.file_name, conf.directory) if loaded else conf


def _loaded(place: str) -> list[bytes]:
    """The plugins in the files of a directory, in the order of their names. Raises InvalidSpec naming the file."""
    found: list[bytes] = []
    path = place
    try:
        check_kept(place)
        for name in entries(place):
            path = f"{place}/{name}"
            if not name.endswith(_ONE) or os.path.isdir(path):
                continue
            check_kept(path)
            raw = read_trusted(path)
            Plugin.from_fields(Fields(parse_json(raw, path), path))
            found.append(raw)
    except (Corrupt, OSError) as err:
        raise InvalidSpec(reason_of(err), "have a regular file there, or remove it", where=path) from err
    return found


def choose(
    confs: Sequence[NetConf], requests: Sequence[tuple[str, tuple[tuple[str, str], ...]]], option: str = ""
) -> tuple[ChosenNet, ...]:
    """The networks that a pod joins, in the order of its interfaces eth0, eth1 and so on.

    requests: names with arguments, as parse_requests returns them; "none" and "host" choose nothing, "all" everything.
    option: the one that lists them, for errors. Raises NotFound with every name that has no configuration, InvalidSpec
    for a network whose configuration is not valid.
    """
    args = dict(requests)
    places = {name: f"{option}[{index}]" if option else "" for index, name in enumerate(args)}
    if NONE in args or HOST in args:
        return ()
    wanted = set(args) - {ALL}
    chosen = [conf for conf in confs if ALL in args or conf.name in wanted]
    missing = [name for name in args if name in wanted - {conf.name for conf in confs}]
    if missing:
        unusable = next((f"{conf.flaw}; " for conf in confs if not conf.name), "")
        raise NotFound(
            f"networks not found: {', '.join(missing)}",
            f"{unusable}define them with pod_network, or put a configuration into net.d of a configuration directory; "
            f"known are {first_of([conf.name for conf in confs if conf.name], _MOST_KNOWN)}",
            networks=missing,
            **({"where": places[missing[0]]} if option else {}),
        )
    for conf in chosen:
        if conf.flaw is not None:
            raise conf.flaw
    return tuple(
        ChosenNet(conf, args.get(conf.name, ()), places.get(conf.name) or places.get(ALL, ""))
        for conf in sorted(chosen, key=_order)
    )


def _text_of(raw: bytes, where: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as err:  # it may be JSON in UTF-16
        raise InvalidSpec("it is not UTF-8", "save it as UTF-8", where=where) from err


def _plugins(fields: Fields) -> tuple[Plugin, ...]:
    if not fields.where.endswith(_LIST):
        return (Plugin.from_fields(fields),)
    plugins = tuple(Plugin.from_fields(each) for each in fields.each("plugins"))
    alone = fields.boolean(ALONE, False) or fields.has("plugins")
    if not plugins:
        more = "" if alone else f", or in .conf files of a directory {fields.text('name')} beside the list"
        raise InvalidSpec(
            "a list of network plugins is empty", f"name at least one{more}", where=fields.where_of("plugins")
        )
    return plugins


def _version(fields: Fields) -> str:
    version = fields.text("cniVersion", "") or VERSIONS[0]
    if version not in VERSIONS:
        raise InvalidSpec(
            f'"{version}" is not a version of CNI that is known here',
            f"use one of {', '.join(VERSIONS)}",
            where=fields.where_of("cniVersion"),
        )
    return version


def _name(fields: Fields) -> str:
    name = fields.text("name")
    if not is_word(name, _NAME, ALNUM) or len(name) > _LONGEST_NAME:
        raise InvalidSpec(
            f'"{name}" is not a valid network name',
            f"use at most {_LONGEST_NAME} letters, digits, underscores, dots and dashes; begin with no sign",
            where=fields.where_of("name"),
        )
    return name


def _order(conf: NetConf) -> tuple[str, str]:
    return conf.file_name, conf.name


def _read_dir(directory: str) -> list[NetConf]:
    names = [name for name in entries(directory) if name.endswith(_SUFFIXES)]
    for place in (os.path.dirname(directory), directory) if names else ():
        check_kept(place)
    return [_read_file(directory, name) for name in names]


def _read_file(directory: str, name: str) -> NetConf:
    """A network. What keeps a file from being used is its flaw, which pods on other networks can ignore."""
    path = os.path.join(directory, name)
    try:
        conf = with_loaded(NetConf.read(read_trusted(path), name, directory))
    except (Corrupt, OSError) as err:
        flaw = InvalidSpec(reason_of(err), "have a regular file there, or remove it", where=path)
        return NetConf("", file_name=name, directory=directory, flaw=flaw)
    try:
        check_kept(path)
    except InvalidSpec as err:
        return conf.replace(flaw=err)
    return conf


def _first_of_each_name(confs: Iterable[NetConf], report: Callable[[str], None] | None) -> dict[str, NetConf]:
    first: dict[str, NetConf] = {}
    for conf in confs:
        if not conf.name:
            continue
        if conf.name in first:
            if report:
                report(f'"{conf.name}" network already defined, ignoring {conf.file_name}')
            continue
        first[conf.name] = conf
    return first
