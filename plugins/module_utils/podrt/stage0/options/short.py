# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Short forms, which users know from other tools, of mounts, ports, users and tmpfs, as long forms. Pure.

In YAML only: argv has rkt's grammar. The action plugin writes a list element that is a string as {short: string}.
"""

from __future__ import annotations

import os

from ...appc.names import ACName, acname_from
from ...appc.ports import AUTO, PROTOCOLS
from ...errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ...fields import Fields

    Form = dict[str, object]

_PORT_HINT = 'write HOST:POD, such as "8080:80", "auto:80", "127.0.0.1:53:53/udp" or "8000-8010:8000-8010"'
_MOUNT_HINT = 'write VOLUME:PATH or /PATH/OF/THE/HOST:PATH, such as "pages:/usr/share/nginx/html:ro"'
_MODES = {"ro", "rw", "nocopy"}
_MOST_DIGITS = 5


def spread(options: Fields) -> Fields:
    """Options of a pod in their long forms. Raises InvalidSpec with the place."""
    return _spread(options)[0]


def written_at(options: Fields, where: str) -> str:
    """The place in the options of one in their long forms, such as volumes[1].source: the mount that declares it."""
    name, _bracket, rest = where.partition("[")
    number = rest.partition("]")[0]
    if name != "volumes" or not number.isdecimal():
        return where
    return _spread(options)[1].places.get(int(number), where)


def _spread(options: Fields) -> tuple[Fields, _Volumes]:
    listed = _listed(options.raw("apps"))
    mounting = [options.raw("mounts"), *(app.get("mounts") for app in listed if isinstance(app, dict))]
    volumes = _Volumes(_listed(options.raw("volumes")), _sources(mounting))
    apps = [_app(app, f"apps[{at}]", volumes) for at, app in enumerate(listed)]
    mounts = _mounts(options.raw("mounts"), "mounts", volumes)
    ports = [_port(port, f"ports[{at}]") for at, port in enumerate(_listed(options.raw("ports")))]
    return options.replaced(apps=apps, mounts=mounts, ports=ports, volumes=volumes.forms), volumes


def _app(app: object, where: str, volumes: _Volumes) -> object:
    if not isinstance(app, dict):
        return app
    form = {**app, "mounts": _mounts(app.get("mounts"), f"{where}.mounts", volumes)}
    if isinstance(app.get("tmpfs"), list):
        form["tmpfs"] = [
            _tmpfs(each, f"{where}.tmpfs[{at}]") for at, each in enumerate(_listed(app["tmpfs"]))
        ]
    user = app.get("user")
    # A user may be the path of a file, which may have a colon.
    if isinstance(user, str) and ":" in user and "/" not in user:
        form.update(_user(user, app.get("group"), f"{where}.user"))
    return form


def _user(text: str, group: object, where: str) -> Form:
    user, _colon, own_group = text.partition(":")
    if not user or not own_group or ":" in own_group:
        raise InvalidSpec(f'"{text}" is not a user and a group', 'write "USER:GROUP"', where=where)
    if group:
        raise InvalidSpec(f'"{text}" names a group beside the option', "take one of them out", where=where)
    return {"user": user, "group": own_group}


class _Volumes:
    """The volumes of a pod: the declared ones, and those in short forms of mounts, with the places of the latter.

    sources: of all short forms, so that no path of the host takes the name of a named volume.
    """

    def __init__(self, forms: list[object], sources: Iterable[str]) -> None:
        self.forms = forms
        # By their numbers among all.
        self.places: dict[int, str] = {}
        self._names = {form.get("name") for form in forms if isinstance(form, dict)}
        self._reserved = {source for source in sources if not source.startswith("/")}
        self._by_source: dict[str, str] = {}
        self._short: set[str] = set()

    def of_source(self, path: str, where: str) -> str:
        """The name of the volume for a path of the host."""
        clean = "/" + os.path.normpath(path).lstrip("/")
        if clean not in self._by_source:
            name = base = acname_from(clean) if clean.strip("/") else ACName("root")
            number = 2
            while name in self._names | self._reserved:
                name, number = ACName(f"{base}-{number}"), number + 1
            self._declare(name, {"kind": "host", "source": clean}, where)
            self._by_source[clean] = name
        return self._by_source[clean]

    def of_name(self, name: str, where: str, *, copy: bool) -> str:
        """The name of a declared volume, or else of one made by pod_volume. copy: whether its first mount fills it."""
        if name not in self._names:
            self._declare(ACName(name, where), {"kind": "named", "volume": name}, where)
            self._short.add(name)
        for form in self.forms if not copy else ():
            if isinstance(form, dict) and form.get("name") == name:
                if name not in self._short:
                    reason = f'"{name}" is declared, and says itself whether it is filled'
                    raise InvalidSpec(reason, "set copy: false there", where=where)
                form["copy"] = False
        return name

    def _declare(self, name: ACName, form: Form, where: str) -> None:
        self._names.add(name)
        self.places[len(self.forms)] = where
        self.forms.append({"name": str(name), **form})


def _sources(mounting: Iterable[object]) -> Iterator[str]:
    """The sources in short forms of mounts."""
    for mounts in mounting:
        for element in _listed(mounts):
            text = element.get("short") if isinstance(element, dict) else element
            if isinstance(text, str):
                yield text.partition(":")[0]


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []


def _text(element: object, where: str) -> str | None:
    """The text of a short form, None for a long one."""
    if not isinstance(element, dict):
        return element if isinstance(element, str) else None
    text = element.get("short")
    if isinstance(text, str) and any(held is not None for name, held in element.items() if name != "short"):
        raise InvalidSpec(
            "a short form excludes other options", "take it out, or the other options", where=f"{where}.short"
        )
    return text if isinstance(text, str) else None


def _port(element: object, where: str) -> object:
    text = _text(element, where)
    if text is None:
        return element
    numbers, slash, protocol = text.partition("/")
    rest, _colon, ports = numbers.rpartition(":")
    ip, colon, host_ports = rest.rpartition(":")
    pod = _range(ports)
    host = pod if host_ports == AUTO else _range(host_ports)
    if host is None or pod is None or (colon and not ip) or (slash and protocol not in PROTOCOLS):
        raise InvalidSpec(f'"{text}" is not a short form of a port', _PORT_HINT, where=where)
    if not host or len(host) != len(pod):
        reason = f'"{text}" has ranges of different lengths, or one that ends before it begins'
        raise InvalidSpec(reason, _PORT_HINT, where=where)
    form: Form = {"host_port": AUTO if host_ports == AUTO else host[0], "port": pod[0]}
    form.update({"protocol": protocol} if slash else {})
    form.update({"count": len(pod)} if len(pod) > 1 else {})
    return {**form, "host_ip": ip.strip("[]")} if ip else form


def _range(text: str) -> range | None:
    """Numbers such as 80 or 8000-8010; None if it is not that."""
    first, dash, last = text.partition("-")
    ends = (first, last if dash else first)
    if not all(end.isascii() and end.isdigit() and len(end) <= _MOST_DIGITS for end in ends):
        return None
    return range(int(ends[0]), int(ends[1]) + 1)


def _tmpfs(element: object, where: str) -> object:
    text = _text(element, where)
    if text is None:
        return element
    from .texts import tmpfs_of  # argv has the same form

    try:
        return tmpfs_of(text)
    except InvalidSpec as err:
        raise err.at(where) from err


def _mounts(value: object, where: str, volumes: _Volumes) -> list[object]:
    return [_mount(element, f"{where}[{at}]", volumes) for at, element in enumerate(_listed(value))]


def _mount(element: object, where: str, volumes: _Volumes) -> object:
    text = _text(element, where)
    if text is None:
        return element
    source, *rest = text.split(":")
    target, mode = rest[0] if rest else "", rest[1:]
    modes = mode[0].split(",") if len(mode) == 1 else []
    known = not mode or (modes and set(modes) <= _MODES and not {"ro", "rw"} <= set(modes))
    if not source or not target.startswith("/") or not known:
        raise InvalidSpec(f'"{text}" is not a short form of a mount', _MOUNT_HINT, where=where)
    if "/" in source and not source.startswith("/"):
        raise InvalidSpec(
            f'"{source}" is not an absolute path', "a path of the host begins with /", where=where
        )
    if source.startswith("/"):
        volume = volumes.of_source(source, where)
    else:
        volume = volumes.of_name(source, where, copy="nocopy" not in modes)
    form: Form = {"volume": volume, "target": target}
    return {**form, "read_only": True} if "ro" in modes else form
