# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a row of the table of options is, and how options are read by it. Pure.

YAML and argv both come here as the same mapping: argv is taken apart into it before, see texts.
"""

from __future__ import annotations

from ...errors import InvalidSpec
from ...fields import Fields, fold
from ...value import Value
from . import parsers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from typing_extensions import dataclass_transform

    Tree = dict[str, object]
else:
    from ...value import dataclass_transform

# What a change of an option means to a pod that runs.
NONE, RECREATE = "none", "recreate"


class Kind(Value):
    """How values of a kind are written.

    type, elements: in Ansible's argument specification. read: takes one that is there out of options. text: which of
    texts says what YAML would have in place of those that a flag was given.
    """

    type: str
    elements: str
    read: Callable[[Fields, str], object]
    text: str


@dataclass_transform(frozen_default=True)
class Row:
    """A Value that nothing compares or checks: every start makes 160 of them, which costs 0.3 ms less so.

    What is not given is as the class has it.
    """

    _fields: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        cls._fields = tuple(cls.__annotations__)

    def __init__(self, *args: object, **kwargs: object) -> None:
        self.__dict__.update(zip(self._fields, args), **kwargs)


class AsFlag(Row):
    """How podctl is told of an option; in an element of a list, as one of the keys in the value of the list's flag.

    value, help: for people. text: which of texts, where it is not that of the kind. bare: what it means without a
    value. also: other names. once: at most one for each image. late: it is judged with all others, not by itself.
    running: it belongs to what runs a pod and not to what prepares one. unknown, wrong: rkt's words for a value that is
    none of the choices, and before every complaint, with the value as {}.
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
    """An option, said once.

    into: the member of the spec that it becomes, such as run.hostname, with [] behind one that has several options;
    two where a value is parted. document: where documents have it: below pod, the manifest, or run, the run spec; of
    an app and an element of a list below that; [NAME] is an element that goes by a name. parse: from the value and its
    place, or from the element of a list, to the member. back: which of documents makes of what is there what an option
    says, where that is not the same. key: what an element of the list goes by, the first of these that it has; nothing
    where its place counts. default, required, choices, secret: as users see them. impact: of a change on a pod that
    runs. overrides: whether it takes the place of what the app of the image has under the same name. flag: of podctl,
    or no_flag: why there is none. options: those of an element of the list, or of the option itself.
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
        """The member of its spec by its own name."""
        return str(self.into).rpartition(".")[2].rstrip("[]")


class Options(Fields):
    """What a task or a command line says of some rows; what it does not say is as their defaults are.

    Members go by the names that they have in documents, so that one parser reads both.
    """

    def __init__(self, value: object, where: str, rows: Sequence[Option]) -> None:
        """Raises InvalidSpec when value is no object."""
        super().__init__(value, where, {row.document or row.name: row.name for row in rows})
        for row in rows:
            if row.default is not None and fold(row.name) not in self._by_name:
                given = row.default
                self._by_name[fold(row.name)] = list(given) if isinstance(given, tuple) else given


def value_of(row: Option, options: Fields) -> object:
    """What options say of a row, None for nothing. Raises InvalidSpec with the place."""
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
    """The members of a spec that options say, by name and nested. Raises InvalidSpec with the place."""
    found: Tree = {}
    for row in rows:
        value = value_of(row, options)
        if isinstance(value, Options):
            _merge(found, members(row.options, value))
        elif value is not None and row.into:
            for into, part in _parts(row, value):
                _put(found, into, part)
    return found


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
    """The members with what is nested made into values. makers: by the path of the member. Raises InvalidSpec."""
    found: Tree = {}
    for name, value in tree.items():
        path = f"{within}{name}"
        found[name] = makers[path](**made(value, makers, f"{path}.")) if isinstance(value, dict) else value
    return found


TEXT = Kind("str", "", Fields.text, "last")
PATH = Kind("path", "", Fields.text, "last")
WHOLE = Kind("int", "", Fields.integer, "whole")
NUMBER = Kind("float", "", Fields.number, "last")
TRUTH = Kind("bool", "", Fields.boolean, "truth")
# A number of YAML has lost its spelling, and Ansible would make a text of it: raw leaves it to be refused here.
SPELLED = Kind("raw", "", Fields.text, "last")
WORDS = Kind("list", "str", Fields.strings, "words")
ARGUMENTS = Kind("list", "raw", Fields.strings, "words")
WHOLES = Kind("list", "int", Fields.integers, "wholes")
PAIRS = Kind("dict", "", Fields.pairs, "pairs")
VARIABLES = Kind("raw", "", parsers.variables, "pairs")
# A dictionary of options, or of names that its parser knows; and a list of the former.
FORM = Kind("dict", "", Fields.raw, "last")
FORMS = Kind("list", "dict", Fields.raw, "words")
