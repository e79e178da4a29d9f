# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Short forms, which people have in their fingers: each becomes the long form that it stands for. Pure.

In YAML alone: argv has rkt's grammar. Ansible's side writes an element of a list that is a text as {short: text}.
"""

from __future__ import annotations

import os
import re

from ...appc.names import ACName, acname_from
from ...appc.ports import PROTOCOLS
from ...errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...appc.fields import Fields

    Form = dict[str, object]

_PORT = re.compile(
    r"(?:(?P<ip>[^/]+):)?(?P<host>\d{1,5})(?:-(?P<host_last>\d{1,5}))?"
    r":(?P<port>\d{1,5})(?:-(?P<last>\d{1,5}))?(?:/(?P<protocol>\w+))?",
    re.ASCII,
)
_PORT_HINT = 'write HOST:POD, such as "8080:80", "127.0.0.1:53:53/udp" or "8000-8010:8000-8010"'
_MOUNT_HINT = 'write VOLUME:PATH or /PATH/OF/THE/HOST:PATH, such as "pages:/usr/share/nginx/html:ro"'
_USER = re.compile(r"(?P<user>[^/:]*):(?P<group>[^/:]*)")


def spread(options: Fields) -> Fields:
    """Options of a pod in their long forms. Raises InvalidSpec with the place."""
    volumes = _Volumes(_listed(options.raw("volumes")))
    apps = [_app(app, f"apps[{at}]", volumes) for at, app in enumerate(_listed(options.raw("apps")))]
    mounts = _mounts(options.raw("mounts"), "mounts", volumes)
    ports = [_port(port, f"ports[{at}]") for at, port in enumerate(_listed(options.raw("ports")))]
    return options.replaced(apps=apps, mounts=mounts, ports=ports, volumes=volumes.forms)


def _app(app: object, where: str, volumes: _Volumes) -> object:
    if not isinstance(app, dict):
        return app
    found = {**app, "mounts": _mounts(app.get("mounts"), f"{where}.mounts", volumes)}
    user = app.get("user")
    both = _USER.fullmatch(user) if isinstance(user, str) else None
    if both:
        if not both["user"] or not both["group"] or app.get("group"):
            raise InvalidSpec(
                f'"{user}" is a user and a group',
                "give both, or the group as an option of its own",
                where=f"{where}.user",
            )
        found.update(user=both["user"], group=both["group"])
    return found


class _Volumes:
    """The volumes of a pod: those that are declared, and those that short forms of mounts speak of."""

    def __init__(self, forms: list[object]) -> None:
        self.forms = forms
        self._names = {form.get("name") for form in forms if isinstance(form, dict)}
        self._by_source: dict[str, str] = {}

    def of_source(self, path: str) -> str:
        """The name of the volume that is a path of the host."""
        clean = os.path.normpath(path)
        if clean not in self._by_source:
            name = base = acname_from(clean) if clean.strip("/") else ACName("root")
            number = 2
            while name in self._names:
                name, number = ACName(f"{base}-{number}"), number + 1
            self._declare(name, {"kind": "host", "source": clean})
            self._by_source[clean] = name
        return self._by_source[clean]

    def of_name(self, name: str, where: str) -> str:
        """The name of a volume that is declared, or else made by pod_volume."""
        if name not in self._names:
            self._declare(ACName(name, where), {"kind": "named", "volume": name})
        return name

    def _declare(self, name: ACName, form: Form) -> None:
        self._names.add(name)
        self.forms.append({"name": str(name), **form})


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []


def _text(element: object, where: str) -> str | None:
    """The text of a short form, None for a long one."""
    if not isinstance(element, dict):
        return element if isinstance(element, str) else None
    text = element.get("short")
    if isinstance(text, str) and any(held is not None for name, held in element.items() if name != "short"):
        raise InvalidSpec(
            "a short form says all", "take it out, or the other options", where=f"{where}.short"
        )
    return text if isinstance(text, str) else None


def _port(element: object, where: str) -> object:
    text = _text(element, where)
    if text is None:
        return element
    found = _PORT.fullmatch(text)
    if found is None or (found["protocol"] or PROTOCOLS[0]) not in PROTOCOLS:
        raise InvalidSpec(f'"{text}" is not a port', _PORT_HINT, where=where)
    host, port = int(found["host"]), int(found["port"])
    count = int(found["last"] or port) - port + 1
    if count < 1 or count != int(found["host_last"] or host) - host + 1:
        raise InvalidSpec(f'"{text}" has two ranges that are not of one length', _PORT_HINT, where=where)
    form: Form = {"host_port": host, "port": port}
    form.update({"protocol": found["protocol"]} if found["protocol"] else {})
    form.update({"count": count} if count > 1 else {})
    return {**form, "host_ip": found["ip"].strip("[]")} if found["ip"] else form


def _mounts(value: object, where: str, volumes: _Volumes) -> list[object]:
    return [_mount(element, f"{where}[{at}]", volumes) for at, element in enumerate(_listed(value))]


def _mount(element: object, where: str, volumes: _Volumes) -> object:
    text = _text(element, where)
    if text is None:
        return element
    source, *rest = text.split(":")
    if not 1 <= len(rest) <= 2 or not rest[0].startswith("/") or rest[1:] not in ([], ["ro"], ["rw"]):
        raise InvalidSpec(f'"{text}" is not a mount', _MOUNT_HINT, where=where)
    if "/" in source and not source.startswith("/"):
        raise InvalidSpec(
            f'"{source}" is not an absolute path', "a path of the host begins with /", where=where
        )
    volume = volumes.of_source(source) if source.startswith("/") else volumes.of_name(source, where)
    form: Form = {"volume": volume, "target": rest[0]}
    return {**form, "read_only": True} if rest[1:] == ["ro"] else form
