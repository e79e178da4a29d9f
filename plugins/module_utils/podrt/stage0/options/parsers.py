# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parsers of the values of options, which refuse wrong ones with their place. Pure.

The parser of a long form is beside its type: Port.of, any_volume_of and the like read documents as well.
"""

from __future__ import annotations

from ...appc.app import EventHandler, check_environment, check_gids
from ...appc.image import STOP_SIGNAL
from ...appc.isolators import MODES, NO_LIMIT, Rlimits, Sysctl, isolator_of
from ...appc.names import ACName
from ...appc.quantity import parse_bytes, parse_size
from ...errors import InvalidSpec
from ...fields import Fields, checked_text
from ...image.policy import parse_insecure
from ...image.reference import parse_reference
from ...net.requests import parse_requests
from ...pod.runspec import INSECURE, LONGEST_WAIT, NOTIFY, RESTART, TIMEZONE, NetworkRequest, check_range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ...appc.isolators import Isolator
    from ...image.reference import ImageReference
    from ..spec import Pairs

    Check = Callable[..., object]

_LONGEST_UPTIME = 3600
_MOST_DIGITS = 18


def image(text: str, where: str) -> ImageReference:
    """A reference to an image, without relative paths: a task has no working directory of the user's."""
    return parse_reference(text, where, relative=False)


def app_name(text: str, where: str) -> ACName | None:
    """The name of an app, None for ""."""
    return ACName(text, where) if text else None


def program(text: str, _where: str) -> tuple[str, ...] | None:
    """The program to execute, exactly one path; None for ""."""
    return (text,) if text else None


def absolute(path: str, where: str) -> str:
    """An absolute path of an app, or ""."""
    if path and not path.startswith("/"):
        raise InvalidSpec(f'"{path}" is not an absolute path', "begin it with /", where=where)
    return path


def gids(numbers: tuple[int, ...], where: str) -> tuple[int, ...]:
    """GIDs in range."""
    check_gids(numbers, where)
    return numbers


def variables(fields: Fields, name: str) -> Pairs:
    """Variables, in their order. A value that YAML reads as a number or a boolean is refused, not guessed."""
    value, where = fields.raw(name), fields.where_of(name)
    if isinstance(value, list):
        value = _of_list(value, where)
    if not isinstance(value, dict):
        raise InvalidSpec(
            "expected a dictionary of names and strings, or a list of NAME=VALUE",
            'write {NAME: "..."}',
            where=where,
        )
    pairs = []
    for key, content in value.items():
        variable = checked_text(key, where, "a name as")
        pairs.append((variable, checked_text(content, f"{where}.{variable}", f"{variable}:", secret=True)))
    check_environment(tuple(pairs), where)
    return tuple(pairs)


def variable_files(fields: Fields, name: str) -> Pairs:
    """The variables of files that have been read: a path, as short, and the content of each."""
    files = []
    for at, (element, where) in enumerate(fields.items(name)):
        form = Fields({"short": element} if isinstance(element, str) else element, where)
        path = form.text("short", f"{name}[{at}]")
        if not form.has("content"):
            raise InvalidSpec(f'the file "{path}" has not been read', f"see {name}_from", where=where)
        files.append((path, form.text("content")))
    return variables_of_files(files, fields.where_of(name))


def variables_of_files(files: Iterable[tuple[str, str]], where: str = "") -> Pairs:
    """The variables of files, names with contents: NAME=VALUE lines, blank lines, and comments with # or ;."""
    found: dict[str, str] = {}
    for file, text in files:
        for number, line in enumerate(map(str.strip, text.split("\n")), 1):
            if line and line[0] not in "#;":
                _add_line(found, line, f"invalid environment file {file}", number, where)
    return tuple(found.items())


def _add_line(found: dict[str, str], line: str, what: str, number: int, where: str) -> None:
    name, equals, value = line.partition("=")
    if not equals or not name:
        hint = f"it is line {number}"
        raise InvalidSpec(f"{what}: must be specified as key=value", hint, where=where)
    if name in found:
        raise InvalidSpec(f'{what}: key "{name}" already set', "a name comes once, in all files", where=where)
    try:
        check_environment(((name, value),), where)
    except InvalidSpec as err:
        raise InvalidSpec(f"{what}: {err.reason}", f"it is line {number}", where=where) from err
    found[name] = value


def _of_list(items: list[object], where: str) -> dict[str, str]:
    """Variables from a list of NAME=VALUE, as other tools have it."""
    found: dict[str, str] = {}
    for at, item in enumerate(items):
        place = f"{where}[{at}]"
        if isinstance(item, (dict, list)):
            raise InvalidSpec("expected a string", 'write "NAME=VALUE"', where=place)
        name, equals, value = checked_text(item, place, "-", secret=True).partition("=")
        if not equals:
            raise InvalidSpec("there is no = in it", 'write "NAME=VALUE"', where=place)
        if name in found:
            raise InvalidSpec(f'"{name}" is given twice', "take one of them out", where=place)
        found[name] = value
    return found


def isolator(name: str, member: str, check: Check | None) -> Callable[[object, str], Isolator]:
    """An option that is an isolator, or a member of its value. check: for values of users, not of documents."""

    def parse(value: object, where: str) -> Isolator:
        if check:
            check(value, where)
        held = list(value) if isinstance(value, tuple) else value
        names = {"value": "", member: ""}
        return isolator_of(name, Fields({"": {"": held} if member else held}, where, names))

    return parse


def ulimits(value: object, where: str) -> Isolator | None:
    """Resource limits by name; an empty mapping makes no isolator."""
    held = (
        {name: limit for name, limit in value.items() if limit is not None}
        if isinstance(value, dict)
        else value
    )
    return isolator(Rlimits.name, "", None)(held, where) if held != {} else None


def plain_pairs(fields: Fields, name: str) -> Pairs:
    """Pairs of names and texts, sorted; a whole number is its digits."""
    held, where = fields.raw(name), fields.where_of(name)
    if not isinstance(held, dict):
        raise InvalidSpec("expected a dictionary", "write {NAME: VALUE}", where=where)
    pairs = (
        (checked_text(key, where, "a name as"), value) for key, value in held.items() if value is not None
    )
    return tuple(sorted((key, _plain(value, f"{where}.{key}", key)) for key, value in pairs))


def _plain(value: object, where: str, key: str) -> str:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if whole else checked_text(value, where, f"{key}:")


def device_rates(of: str, parse: Callable[[str, str], int]) -> Callable[[Pairs, str], Isolator | None]:
    """The parser of limits by device; an empty mapping makes no isolator. parse: of a rate and its place."""

    def read(pairs: Pairs, where: str) -> Isolator | None:
        held = {path: parse(text, f"{where}.{path}") for path, text in pairs}
        return isolator(f"os/linux/block-{of}", "", None)(held, where) if held else None

    return read


def sysctls(pairs: Pairs, where: str) -> Isolator | None:
    """The sysctls of a pod; an empty mapping makes no isolator."""
    return isolator(Sysctl.name, "", None)(dict(pairs), where) if pairs else None


def whole(text: str, where: str) -> int:
    """A whole number of ordinary length."""
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise InvalidSpec(f'"{text}" is not a whole number', "write digits", where=where)
    return int(text)


def check_swap(text: object, where: str) -> None:
    """Raise InvalidSpec unless a text is a number of bytes, or that for any amount of swap."""
    if str(text).strip() != str(NO_LIMIT):
        parse_bytes(str(text), where)


def seccomp(form: Fields) -> Isolator:
    """A filter of system calls."""
    mode = form.text("mode")
    if mode not in MODES:
        raise InvalidSpec(
            f'there is no mode "{mode}"',
            "use retain or remove",
            where=form.where_of("mode"),
            on_argv="invalid seccomp mode command-line override",
        )
    held = {"syscalls": list(form.strings("set")), "errno": form.raw("errno")}
    fields = Fields({"": held}, form.where, {"value": "", "set": "syscalls"})
    return isolator_of(f"os/linux/seccomp-{mode}-set", fields)


def selinux(value: object, where: str) -> Isolator:
    """A label, as one text or as its parts."""
    from ...appc.confinement import SelinuxContext

    if isinstance(value, dict):
        held = {"user": "system_u", "role": "system_r", "level": "s0", **value}
        return isolator_of(SelinuxContext.name, Fields({"": held}, where, {"value": ""}))
    return SelinuxContext.parse(checked_text(value, where, "-"), where)


def check_capabilities(names: object, where: str) -> None:
    """Raise InvalidSpec for an unknown capability: stage1 would refuse it too, but without naming the option."""
    from ...appc.capabilities import mask_of

    for index, name in enumerate(names if isinstance(names, tuple) else ()):
        try:
            mask_of((name,))
        except InvalidSpec as err:
            raise err.at(f"{where}[{index}]") from err


def handler(event: str) -> Callable[[tuple[str, ...], str], EventHandler | None]:
    """The parser of a handler for an event of an app's life; an empty list makes none."""
    return lambda argv, _where: EventHandler(event, argv) if argv else None


def stop_signal(text: str, where: str) -> tuple[str, str]:
    """The annotation with the stop signal of an app, in one spelling."""
    from ...appc.signals import signal_number

    if signal_number(text) is None:
        raise InvalidSpec(
            f'"{text}" is not a signal that can end an app', "write SIGQUIT, quit or RTMIN+3", where=where
        )
    name = text.strip().upper()
    return STOP_SIGNAL, name if name.isdigit() or name.startswith("SIG") else f"SIG{name}"


def timezone(text: str, where: str) -> tuple[str, str] | None:
    """The annotation with the time zone of an app, none for ""."""
    from ...pod.timezone import check_zone

    if text:
        check_zone(text, where)
    return (TIMEZONE, text) if text else None


def sdnotify(value: bool, _where: str) -> tuple[str, str]:
    """The annotation of an app that says when it is up, in place of its image's."""
    return NOTIFY, "true" if value else "false"


def restart(form: Fields) -> tuple[str, str] | None:
    """The annotation with the restart policy of an app, in one spelling; none for "no", which is the default."""
    from ...pod.restart import NO, Restart

    found = {
        name: form.integer(name) if name == "max_retries" else form.text(name)
        for name in ("policy", "max_retries", "backoff", "max_backoff")
        if form.has(name)
    }
    policy = form.made(Restart.from_form, found)
    return (RESTART, str(policy)) if policy.policy != NO else None


def networks(words: tuple[str, ...], where: str) -> tuple[NetworkRequest, ...]:
    """Networks with sorted arguments: their order means nothing, and documents do not keep it."""
    try:
        return tuple(_network(name, args) for name, args in parse_requests(",".join(words)))
    except InvalidSpec as err:
        raise err.at(where) from err


def _network(name: str, args: Pairs) -> NetworkRequest:
    if len(dict(args)) < len(args):
        raise InvalidSpec(f'network "{name}" has an argument twice', "write arguments as K=V;K2=V2")
    return NetworkRequest(name, tuple(sorted(args)))


def insecure(words: tuple[str, ...], where: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The checks that are waived: while images are fetched, and of the pod."""
    waived = parse_insecure(",".join(words), where)
    return tuple(word for word in waived if word not in INSECURE), tuple(
        word for word in waived if word in INSECURE
    )


def absent(value: bool, _where: str) -> bool:
    """The opposite, for an option that turns off a feature."""
    return not value


def size(text: str, where: str) -> int | None:
    """A number of bytes, None for ""."""
    return parse_size(text, where) if text else None


def wait_seconds(number: int, where: str) -> int:
    """A number of seconds or lines, in range."""
    check_range(number, 0, LONGEST_WAIT, where)
    return number


def uptime(seconds: float, where: str) -> float:
    """How many seconds a pod must stay up, in range."""
    if not 0 <= seconds <= _LONGEST_UPTIME:
        hint = f"use 0, which asks for nothing, to {_LONGEST_UPTIME}"
        raise InvalidSpec(f"{seconds:g} is out of range", hint, where=where)
    return float(seconds)
