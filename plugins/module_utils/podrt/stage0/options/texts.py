# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The texts of flags as YAML would have them: texts in, lists, mappings and numbers out. Pure.

The meaning of values is not checked here but by the one parser behind both. Source: behaviours A10 to A19, C38, C39.
"""

from __future__ import annotations

from ...appc.ports import AUTO, HOST_PORT_HINT
from ...errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from .option import Option

_MOST_DIGITS, _MOST_PORT_DIGITS = 18, 5
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
HOST = "host"


def of_flag(row: Option, texts: Sequence[str]) -> object:
    """The value of an option from the texts of its flag, as in YAML. Raises InvalidSpec with rkt's words."""
    parse = globals()[(row.flag and row.flag.text) or row.kind.text]
    return parse(texts, row.options) if row.options else parse(texts)


def parse_bool(text: str) -> bool:
    """A boolean as Go's strconv.ParseBool reads it. Raises InvalidSpec."""
    if text not in _TRUE + _FALSE:
        raise InvalidSpec(f'"{text}" is not a boolean', "use true or false")
    return text in _TRUE


def parse_whole(text: str) -> int:
    """A whole number of ordinary length. Raises InvalidSpec."""
    digits = text[1:] if text[:1] == "-" else text
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS):
        raise InvalidSpec(f'"{text}" is not a whole number')
    return int(text)


def last(texts: Sequence[str]) -> str:
    """The last text, where only one counts."""
    return texts[-1]


def integer(texts: Sequence[str]) -> int:
    """A whole number. Raises InvalidSpec."""
    return parse_whole(texts[-1])


def boolean(texts: Sequence[str]) -> bool:
    """A boolean. Raises InvalidSpec."""
    return parse_bool(texts[-1])


def words(texts: Iterable[str]) -> list[str]:
    """Words joined by commas, of all texts."""
    return [word for text in texts for word in text.split(",") if word]


def ranges(texts: Iterable[str]) -> list[str]:
    """Words joined by plus signs: commas separate the keys of a volume."""
    return [word for text in texts for word in text.split("+") if word]


def last_words(texts: Sequence[str]) -> list[str]:
    """Words joined by commas, of the last text only."""
    return [word.strip() for word in texts[-1].split(",") if word.strip()]


def integers(texts: Iterable[str]) -> list[int]:
    """Whole numbers joined by commas, of all texts. Raises InvalidSpec with rkt's words."""
    try:
        return [parse_whole(word) for text in texts for word in text.split(",")]
    except InvalidSpec as err:
        raise InvalidSpec("--supplementary-gids must be integers") from err


def pair(text: str) -> tuple[str, str]:
    """KEY=VALUE. Raises InvalidSpec."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InvalidSpec("must be specified as key=value")
    return key, value


def pairs(texts: Iterable[str]) -> dict[str, str]:
    """KEY=VALUE each; of a key that comes twice the last counts. Raises InvalidSpec."""
    return dict(map(pair, texts))


def unique_pairs(texts: Iterable[str]) -> dict[str, str]:
    """KEY=VALUE each, with unique keys. Raises InvalidSpec."""
    found: dict[str, str] = {}
    for key, value in map(pair, texts):
        if key in found:
            raise InvalidSpec(f'key "{key}" already set')
        found[key] = value
    return found


def volumes(texts: Iterable[str], rows: Sequence[Option]) -> list[dict[str, object]]:
    """NAME,KEY=VALUE... each, with the keys of these rows; values are literal. Raises InvalidSpec with rkt's words."""
    found = (_keyed(_items(f"name={text}".split(",")), rows, "volume") for text in texts)
    return [{"kind": "", **volume} for volume in found]


def mounts(texts: Iterable[str], rows: Sequence[Option]) -> list[dict[str, object]]:
    """KEY=VALUE,... each, which may hold URL escapes. Raises InvalidSpec with rkt's words."""
    return [_keyed(decoded_items(text), rows, "mount") for text in texts]


def decoded_items(text: str) -> list[tuple[str, str]]:
    """KEY=VALUE,... which may hold URL escapes, each key once. Raises InvalidSpec with rkt's words."""
    return [(_decoded(key), _decoded(value)) for key, value in _items(text.split(","), loose=True)]


def _decoded(text: str) -> str:
    from ...image.reference import unescape

    return unescape(text.replace("+", " "))


def _items(items: Iterable[str], *, loose: bool = False) -> list[tuple[str, str]]:
    """Items KEY=VALUE. loose: one without "=" has an empty value, as in the query of a URL."""
    found: dict[str, str] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals and not loose:
            raise InvalidSpec(f'malformed string "{item}": not a key=value pair')
        if key in found:
            raise InvalidSpec(f"label {key} with multiple values")
        if key or value:
            found[key] = value
    return list(found.items())


def _keyed(items: Iterable[tuple[str, str]], rows: Sequence[Option], what: str) -> dict[str, object]:
    known = {row.flag.name: row for row in rows if row.flag}
    found: dict[str, object] = {}
    for key, text in items:
        if key not in known:
            raise InvalidSpec(f'unknown {what} parameter "{key}"')
        found[known[key].name] = of_flag(known[key], (text,))
    return found


def ports(texts: Iterable[str], _rows: Sequence[Option]) -> list[dict[str, object]]:
    """NAME:[HOSTIP:]HOSTPORT each; an IPv6 address may stand in brackets, and auto for a port that the host chooses.

    Raises InvalidSpec with rkt's words.
    """
    return [_port(text) for text in texts]


def _port(text: str) -> dict[str, object]:
    name, colon, rest = text.partition(":")
    address, _colon, number = rest.rpartition(":")
    if not colon:
        raise InvalidSpec(f'"{text}" is not in name:[ip:]port format')
    is_number = number.isascii() and number.isdigit() and len(number) <= _MOST_PORT_DIGITS
    if not is_number and number != AUTO:
        raise InvalidSpec(f'"{number}" is not a valid port number', HOST_PORT_HINT)
    found: dict[str, object] = {"name": name, "host_port": int(number) if is_number else AUTO}
    return {**found, "host_ip": address.strip("[]")} if address else found


def rates(texts: Iterable[str]) -> dict[str, str]:
    """DEVICE:RATE each, as docker writes them. Raises InvalidSpec."""
    found = {}
    for text in texts:
        path, colon, rate = text.rpartition(":")
        if not colon or not path:
            raise InvalidSpec(f'"{text}" is not in DEVICE:RATE format', "write /dev/sda:1m")
        found[path] = rate
    return found


def tmpfs(texts: Iterable[str], rows: Sequence[Option]) -> list[dict[str, object]]:
    """PATH[:KEY=VALUE,...] each, as docker writes them. Raises InvalidSpec."""
    return [tmpfs_of(text, [row.name for row in rows[2:]]) for text in texts]


def tmpfs_of(text: str, known: Sequence[str] = ("size", "mode")) -> dict[str, object]:
    """A file system in memory from its short form, /run:size=16M,mode=0755. Raises InvalidSpec."""
    path, _colon, options = text.partition(":")
    found: dict[str, object] = {"target": path}
    for item in filter(None, options.split(",")):
        key, equals, value = item.partition("=")
        if key in known and equals:
            found[key] = value
        elif item not in ("rw", "nosuid", "nodev"):  # those it has anyway
            reason = f'"{item}" is no option of a file system in memory'
            raise InvalidSpec(reason, "write PATH:size=16M,mode=0755")
    return found


def networks(texts: Iterable[str]) -> list[str]:
    """NAME[:K=V],... each; an empty one is the default network."""
    return [text or "default" for text in texts]


def hosts_entries(texts: Iterable[str], _rows: Sequence[Option]) -> list[dict[str, object]]:
    """IP=NAME,... each, the names of an address together. Raises InvalidSpec with rkt's words."""
    found: dict[str, list[str]] = {}
    for address, name in _hosts(texts):
        found.setdefault(address, []).append(name)
    return [{"ip": address, "names": names} for address, names in found.items()]


def _hosts(texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    for item in words(texts):
        address, equals, name = item.partition("=")
        if item != HOST and not (equals and name):
            raise InvalidSpec("Did not understand --hosts-entry", "write IP=NAME, or host")
        if item != HOST:
            yield address, name


def names_host(texts: Iterable[str]) -> bool:
    """Whether the word host is among the entries."""
    return HOST in words(texts)


def seccomp(texts: Sequence[str], _rows: Sequence[Option]) -> dict[str, object]:
    """mode=retain|remove[,errno=E],CALL... Raises InvalidSpec with rkt's words."""
    found: dict[str, str] = {}
    calls: list[str] = []
    for word in filter(None, texts[-1].split(",")):
        key, equals, value = word.partition("=")
        if not equals:
            calls.append(word)
        elif key in ("mode", "errno"):
            found[key] = value
        else:
            raise InvalidSpec("invalid seccomp command-line override", "its keys are mode and errno")
    return {"mode": "", **found, "syscalls": calls}


def truth_of_rootfs(texts: Sequence[str]) -> bool:
    """A boolean. Raises InvalidSpec with rkt's words."""
    try:
        return boolean(texts)
    except InvalidSpec as err:
        raise InvalidSpec("--readonly-rootfs must be set with a boolean") from err


def restart(texts: Sequence[str], _rows: Sequence[Option]) -> Mapping[str, object]:
    """POLICY[:RETRIES][,backoff=DURATION][,max-backoff=DURATION]. Raises InvalidSpec."""
    from ...pod.restart import form_of

    return form_of(texts[-1])


def ipc(texts: Sequence[str]) -> str:
    """A mode; an empty one is auto."""
    return texts[-1] or "auto"
