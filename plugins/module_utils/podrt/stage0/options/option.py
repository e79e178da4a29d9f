# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of the table of options, and how options are read by them. Pure.

YAML and argv both come here as the same mapping: argv is parsed into it before, see texts.
"""

from __future__ import annotations

from ...appc.quantity import parse_bytes, parse_size
from ...errors import InvalidSpec
from ...fields import Fields, fold
from ...value import Value
from . import parsers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from typing_extensions import dataclass_transform

    from .parsers import Check

    Tree = dict[str, object]
else:
    from ...value import dataclass_transform

# The impact of a change of an option on a running pod.
NONE, RECREATE = "none", "recreate"


class Kind(Value):
    """The form of the values of an option.

    type, elements: in Ansible's argument specification. read: from options, where the value is set. text: the
    function of texts that turns the texts of a flag into what YAML would have.
    """

    type: str
    elements: str
    read: Callable[[Fields, str], object]
    text: str


@dataclass_transform(frozen_default=True)
class Row:
    """A Value without comparison and checks: every start makes 160 of them, which saves 0.3 ms.

    Members that are not passed have the defaults of the class.
    """

    _fields: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        cls._fields = tuple(cls.__annotations__)

    def __init__(self, *args: object, **kwargs: object) -> None:
        self.__dict__.update(zip(self._fields, args), **kwargs)


class AsFlag(Row):
    """The flag of podctl for an option; in an element of a list, a key in the value of the list's flag.

    value, help: for people. text: the function of texts, where it is not that of the kind. bare: the value of the flag
    without one. also: other names. once: at most one for each image. late: it is checked with all others, not by
    itself. running: it is a flag of commands that run a pod, not of those that prepare one. unknown, wrong: rkt's
    words for a value that is not among the choices, and before every complaint, with the value as {}.
    """

    name: str
    value: str = ""
    help: str = ""
    text: str = ""
    bare: str | None = None
    also: tuple[str, ...] = ()
    once: bool = False
    late: bool = False
    running: bool = False
    unknown: str = ""
    wrong: str = ""


class Option(Row):
    """An option, defined once.

    into: the member of the spec that it becomes, such as run.hostname, with [] after one that has several options; two
    where a value is split. document: its place in documents: below pod, the manifest, or run, the run spec; of an app
    and an element of a list below that; [NAME] is the element with that name. parse: from the value and its place, or
    from the element of a list, to the member. back: the function of documents that turns the value there into that of
    the option, where they differ. key: the names of an element of the list, of which the first that it has counts;
    empty where its place counts. default, required, choices, secret: as users see them. impact: of a change on a
    running pod. overrides: whether it overrides the member of that name of the image's app. flag: of podctl, or
    no_flag: why it has none. options: those of an element of the list, or of the option itself.
    """

    name: str
    kind: Kind
    into: str | tuple[str, ...] = ""
    document: str = ""
    parse: Callable[..., object] | None = None
    back: str = ""
    key: tuple[str, ...] = ()
    default: object = None
    required: bool = False
    choices: tuple[str, ...] = ()
    secret: bool = False
    impact: str = RECREATE
    overrides: bool = False
    flag: AsFlag | None = None
    no_flag: str = ""
    options: tuple[Option, ...] = ()

    @property
    def member(self) -> str:
        """The name of the member in its spec."""
        return str(self.into).rpartition(".")[2].rstrip("[]")


class Options(Fields):
    """The options of a task or a command line for some rows, with the defaults of those that are not set.

    Members have the names of documents, so that one parser reads both.
    """

    def __init__(self, value: object, where: str, rows: Sequence[Option]) -> None:
        """Raise InvalidSpec when value is not an object."""
        super().__init__(value, where, {row.document or row.name: row.name for row in rows})
        for row in rows:
            if row.default is not None and fold(row.name) not in self._by_name:
                default = row.default
                self._by_name[fold(row.name)] = list(default) if isinstance(default, tuple) else default


def value_of(row: Option, options: Fields) -> object:
    """The parsed value of the option of a row, None if it is not set. Raises InvalidSpec with the place."""
    if not options.has(row.name):
        return None
    where = options.where_of(row.name)
    if row.kind is FORMS:
        forms = (Options(*item, row.options) for item in options.items(row.name))
        return tuple(form if row.parse is None else row.parse(form) for form in forms)
    value = row.kind.read(options, row.name)
    if row.kind is FORM and row.options:
        value = Options(value, where, row.options)
        return value if row.parse is None else row.parse(value)
    if row.choices and isinstance(value, str):
        _check_choice(row, value, where)
    return value if row.parse is None else row.parse(value, where)


def _check_choice(row: Option, value: str, where: str) -> None:
    if value not in row.choices:
        raise InvalidSpec(
            f'unknown value "{value}"',
            f"use one of {', '.join(row.choices)}",
            where=where,
            on_argv=row.flag.unknown.replace("{}", value) if row.flag else "",
        )


def members(rows: Iterable[Option], options: Fields) -> Tree:
    """The members of a spec that options set, by name and nested. Raises InvalidSpec with the place."""
    tree: Tree = {}
    for row in rows:
        value = value_of(row, options)
        if isinstance(value, Options):
            _merge(tree, members(row.options, value))
        elif value is not None and row.into:
            for into, part in _parts(row, value):
                _put(tree, into, part)
    return tree


def _parts(row: Option, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(row.into, str):
        yield row.into, value
    elif isinstance(value, tuple):
        yield from zip(row.into, value)


def _put(tree: Tree, into: str, value: object) -> None:
    head, dot, rest = into.partition(".")
    if dot:
        inner = tree.setdefault(head, {})
        if isinstance(inner, dict):
            _put(inner, rest, value)
    elif head.endswith("[]"):
        held = tree.get(head[:-2], ())
        tree[head[:-2]] = (*held, value) if isinstance(held, tuple) else (value,)
    else:
        tree[head] = value


def _merge(tree: Tree, more: Tree) -> None:
    for name, value in more.items():
        held = tree.get(name)
        if isinstance(held, dict) and isinstance(value, dict):
            _merge(held, value)
        else:
            tree[name] = value


def made(tree: Tree, makers: Mapping[str, Callable[..., object]], within: str = "") -> Tree:
    """The members, with nested ones made into values. makers: by the path of the member. Raises InvalidSpec."""
    result: Tree = {}
    for name, value in tree.items():
        path = f"{within}{name}"
        result[name] = makers[path](**made(value, makers, f"{path}.")) if isinstance(value, dict) else value
    return result


TEXT = Kind("str", "", Fields.text, "last")
PATH = Kind("path", "", Fields.text, "last")
INTEGER = Kind("int", "", Fields.integer, "integer")
NUMBER = Kind("float", "", Fields.number, "last")
BOOLEAN = Kind("bool", "", Fields.boolean, "boolean")
# A number in YAML has lost its spelling, and Ansible would make it a string: raw lets it be refused here.
SPELLED = Kind("raw", "", Fields.text, "last")
NUMBER_OR_WORD = Kind("raw", "", Fields.raw, "integer")
# A text, or a dictionary of its parts.
LABEL = Kind("raw", "", Fields.raw, "last")
WORDS = Kind("list", "str", Fields.strings, "words")
ARGUMENTS = Kind("list", "raw", Fields.strings, "words")
INTEGERS = Kind("list", "int", Fields.integers, "integers")
PAIRS = Kind("dict", "", Fields.pairs, "pairs")
# Values may be numbers, which become their digits.
PLAIN_PAIRS = Kind("dict", "", parsers.plain_pairs, "pairs")
RATES = Kind("dict", "", parsers.plain_pairs, "rates")
VARIABLES = Kind("raw", "", parsers.variables, "pairs")
# A dictionary of options, or of names that its parser knows; and a list of the former.
FORM = Kind("dict", "", Fields.raw, "last")
FORMS = Kind("list", "dict", Fields.raw, "words")


# The rows that are isolators, and among them the limits, which apps and pods have.
_BEFORE = "; before the first image, of all apps together"


def isolator(
    name: str, kind: Kind, of: str, flag: AsFlag | str, *, within: str = "app", check: Check | None = None
) -> Option:
    """An option that is an isolator. of: its name, and after a dot the member of its value that the option is.

    flag: or why it has none.
    """
    of, _dot, member = of.partition(".")
    return Option(
        name,
        kind,
        "isolators[]",
        f"{within}.isolators[{of}]" + (f".{member}" if member else ""),
        parsers.isolator(of, member, check),
        "as_set" if kind is WORDS else "",
        overrides=within == "app",
        flag=flag if isinstance(flag, AsFlag) else None,
        no_flag="" if isinstance(flag, AsFlag) else flag,
    )


def _flag(name: str, value: str, text: str) -> AsFlag:
    return AsFlag(name, value, text + _BEFORE)


# Name, kind, isolator, flag, check.
_LIMITS = (
    (
        "memory",
        TEXT,
        "resource/memory.limit",
        _flag("memory", "QUANTITY", "the memory limit: 128M, 64Mi"),
        parse_bytes,
    ),
    (
        "memory_reservation",
        TEXT,
        "os/linux/memory-reservation",
        _flag("memory-reservation", "QUANTITY", "the memory that is left when it is scarce"),
        parse_bytes,
    ),
    (
        "memory_swap",
        TEXT,
        "os/linux/memory-swap",
        _flag("memory-swap", "QUANTITY", "the limit of memory and swap together, -1 for any amount of swap"),
        parsers.check_swap,
    ),
    (
        "cpu",
        TEXT,
        "resource/cpu.limit",
        _flag("cpu", "QUANTITY", "the CPU limit: 500m, 2"),
        None,
    ),
    (
        "cpu_shares",
        INTEGER,
        "os/linux/cpu-shares",
        _flag("cpu-shares", "N", "the weight of its share of CPU: 2 to 262144"),
        None,
    ),
    (
        "cpuset_cpus",
        TEXT,
        "os/linux/cpuset-cpus",
        _flag("cpuset-cpus", "LIST", "the processors to run on: 0-2,4"),
        None,
    ),
    (
        "cpuset_mems",
        TEXT,
        "os/linux/cpuset-mems",
        _flag("cpuset-mems", "LIST", "the nodes of memory to use: 0,1"),
        None,
    ),
    (
        "blkio_weight",
        INTEGER,
        "os/linux/block-weight",
        _flag("blkio-weight", "N", "the weight of its share of block devices: 10 to 1000"),
        None,
    ),
    (
        "network_bandwidth",
        TEXT,
        "resource/network-bandwidth.limit",
        _flag("network-bandwidth", "QUANTITY", "the bytes a second of each interface, both ways: 10M"),
        parse_bytes,
    ),
    (
        "pids_limit",
        INTEGER,
        "resource/pids.limit",
        _flag("pids-limit", "N", "the limit of processes and threads, -1 for none"),
        None,
    ),
)
_RATES = (
    ("device_read_bps", "read-bps", "bytes read from a disk", parse_size),
    ("device_write_bps", "write-bps", "bytes written to a disk", parse_size),
    ("device_read_iops", "read-iops", "reads of a disk", parsers.whole),
    ("device_write_iops", "write-iops", "writes to a disk", parsers.whole),
)


def limits(within: str) -> tuple[Option, ...]:
    """The options of an app, or of a pod, that are limits."""
    plain = (
        isolator(name, kind, of, flag, within=within, check=check) for name, kind, of, flag, check in _LIMITS
    )
    rates = (
        Option(
            name,
            RATES,
            "isolators[]",
            f"{within}.isolators[os/linux/block-{of}]",
            parsers.device_rates(of, parse),
            overrides=within == "app",
            flag=_flag(name.replace("_", "-"), "DEVICE:N", f"the limit of {text} a second"),
        )
        for name, of, text, parse in _RATES
    )
    return (*plain, *rates)
