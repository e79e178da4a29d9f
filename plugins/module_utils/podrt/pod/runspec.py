# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pod needs to run that the appc manifest does not say: networks, names, isolation from the host."""

from __future__ import annotations

import re

from ..appc.fields import Fields
from ..errors import InvalidSpec
from ..value import Value

FORMAT = 1
DNS_MODES = ("auto", "host", "none", "custom")
HOSTS_MODES = ("auto", "host", "custom")
IPC_MODES = ("auto", "private", "parent")
INSECURE = ("capabilities", "paths", "seccomp")
STOP_TIMEOUT = 10
# How long a start may take that something waits for, pre-start handlers and READY=1 included. A unit gives it as much.
START_SECONDS = 300
LONGEST_WAIT = 2**31 - 1  # seconds, more than a lifetime; far larger numbers overflow in clocks and units
# The kernel takes 64 characters. An underscore is usual, if not in RFC 952.
_HOSTNAME = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9_])?"
_WORD = r"[^\s#;]+"  # of resolv.conf and /etc/hosts, where a line and a comment end it
_LARGEST_FILE = 2**63 - 1
_MOST_LOGS = 16


def check_range(number: int, least: int, most: int, where: str) -> None:
    """Raise InvalidSpec unless the number is in the range."""
    if not least <= number <= most:
        raise InvalidSpec(f"{number} is out of range", f"use {least} to {most}", where=where)


class NetworkRequest(Value):
    """A network to join, with arguments for its plugins."""

    name: str
    args: tuple[tuple[str, str], ...] = ()


class Dns(Value):
    """What resolv.conf shall say. auto: as the networks answer; custom: these. Source: behaviours C39, C40."""

    mode: str = "auto"
    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    domain: str = ""

    def check(self) -> None:
        """Each text must be one word of a line."""
        for texts, where in ((self.search, "dns_search"), (self.options, "dns_options")):
            for index, text in enumerate(texts):
                _check_word(text, f"{where}[{index}]")
        if self.domain:
            _check_word(self.domain, "dns_domain")


class HostsFile(Value):
    """What /etc/hosts shall be. entries: pairs of an address and its names. Source: behaviours C38."""

    mode: str = "auto"
    entries: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def check(self) -> None:
        """Each address has names, and each name is one word of a line."""
        for index, (_ip, names) in enumerate(self.entries):
            where = f"hosts_entries[{index}].names"
            if not names:
                raise InvalidSpec("an address needs a name", 'write names: ["..."]', where=where)
            for at, name in enumerate(names):
                _check_word(name, f"{where}[{at}]")


class LogPolicy(Value):
    """How much of each app's output is kept: files of max_bytes, max_files of them."""

    max_bytes: int = 4 * 1024 * 1024
    max_files: int = 3

    def check(self) -> None:
        """There must be a file, and something in it."""
        if not 1 <= self.max_bytes <= _LARGEST_FILE:
            raise InvalidSpec(
                f"a log of {self.max_bytes} bytes cannot be kept", "write it as 4m", where="log.max_size"
            )
        check_range(self.max_files, 1, 1000, "log.max_files")

    def held(self) -> LogPolicy:
        """The same bound on what is kept, in no more files than a supervisor should have open for each app."""
        if self.max_files <= _MOST_LOGS:
            return self
        return LogPolicy(min(self.max_bytes * self.max_files // _MOST_LOGS, _LARGEST_FILE), _MOST_LOGS)


class RunSpec(Value):
    """Everything but the manifest that two pods must share to be the same pod.

    name: what Ansible calls the pod, "" for a pod that only has a UUID. hostname "" means rkt-UUID. networks:
    ("host",) and ("none",) stand alone. insecure: some of INSECURE. stop_timeout: seconds between SIGTERM and SIGKILL.
    """

    name: str = ""
    networks: tuple[NetworkRequest, ...] = (NetworkRequest("default"),)
    hostname: str = ""
    dns: Dns = Dns()
    hosts: HostsFile = HostsFile()
    ipc: str = "auto"
    insecure: tuple[str, ...] = ()
    overlay: bool = True
    stop_timeout: int = STOP_TIMEOUT
    log: LogPolicy = LogPolicy()

    def check(self) -> None:
        """Every mode is a known one, and numbers make sense."""
        for value, known, where in (
            (self.dns.mode, DNS_MODES, "dns"),
            (self.hosts.mode, HOSTS_MODES, "hosts"),
            (self.ipc, IPC_MODES, "ipc"),
            *((option, INSECURE, "insecure_options") for option in self.insecure),
        ):
            if value not in known:
                raise InvalidSpec(f'unknown value "{value}"', f"use one of {', '.join(known)}", where=where)
        if self.hostname and not re.fullmatch(_HOSTNAME, self.hostname):
            raise InvalidSpec(
                f"{self.hostname!r} is not a host name",
                "use at most 64 letters, digits, dashes, dots and underscores",
                where="hostname",
            )
        check_range(self.stop_timeout, 0, LONGEST_WAIT, "stop_timeout")

    @property
    def host_network(self) -> bool:
        """Whether the pod shares the network of the host."""
        return any(request.name == "host" for request in self.networks)

    @property
    def no_network(self) -> bool:
        """Whether the pod has a loopback interface only."""
        return any(request.name == "none" for request in self.networks)

    @classmethod
    def from_json(cls, value: object, where: str = "runspec") -> RunSpec:
        """Read the document of a pod. Raises InvalidSpec with the place."""
        fields = Fields(value, where)
        fields.check_format(FORMAT)
        dns = Fields(fields.raw("dns"), fields.where_of("dns"))
        hosts = Fields(fields.raw("hosts"), fields.where_of("hosts"))
        log = Fields(fields.raw("log"), fields.where_of("log"))
        return cls(
            name=fields.text("name", ""),
            networks=tuple(_network(*item) for item in fields.items("networks")),
            hostname=fields.text("hostname", ""),
            dns=Dns(
                dns.text("mode"),
                dns.strings("nameservers"),
                dns.strings("search"),
                dns.strings("options"),
                dns.text("domain", ""),
            ),
            hosts=HostsFile(
                hosts.text("mode"), tuple(_hosts_entry(*item) for item in hosts.items("entries"))
            ),
            ipc=fields.text("ipc"),
            insecure=fields.strings("insecure"),
            overlay=fields.boolean("overlay"),
            stop_timeout=fields.integer("stopTimeout"),
            log=LogPolicy(log.integer("maxBytes"), log.integer("maxFiles")),
        )

    def to_json(self) -> dict[str, object]:
        """The document of a pod: every field, also those at their defaults."""
        return {
            "format": FORMAT,
            "name": self.name,
            "networks": [{"name": request.name, "args": dict(request.args)} for request in self.networks],
            "hostname": self.hostname,
            "dns": {
                "mode": self.dns.mode,
                "nameservers": list(self.dns.nameservers),
                "search": list(self.dns.search),
                "options": list(self.dns.options),
                "domain": self.dns.domain,
            },
            "hosts": {
                "mode": self.hosts.mode,
                "entries": [{"ip": ip, "names": list(names)} for ip, names in self.hosts.entries],
            },
            "ipc": self.ipc,
            "insecure": list(self.insecure),
            "overlay": self.overlay,
            "stopTimeout": self.stop_timeout,
            "log": {"maxBytes": self.log.max_bytes, "maxFiles": self.log.max_files},
        }


def _check_word(text: str, where: str) -> None:
    if not re.fullmatch(_WORD, text):
        raise InvalidSpec(
            f"{text!r} is not one word", "use no blanks, no line breaks and neither # nor ;", where=where
        )


def _network(value: object, where: str) -> NetworkRequest:
    fields = Fields(value, where)
    return NetworkRequest(fields.text("name"), fields.pairs("args"))


def _hosts_entry(value: object, where: str) -> tuple[str, tuple[str, ...]]:
    fields = Fields(value, where)
    return fields.text("ip"), fields.strings("names")
