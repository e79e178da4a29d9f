# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run spec: what a pod needs to run beside its appc manifest: networks, names, isolation from the host."""

from __future__ import annotations

from ..appc.alphabet import check_single_word
from ..appc.ports import check_address
from ..appc.volumes import LEAST_TMPFS, MOST_TMPFS
from ..errors import InvalidSpec
from ..fields import Fields
from ..value import Value

FORMAT = 1
DNS_MODES = ("auto", "host", "none", "custom")
HOSTS_MODES = ("auto", "host", "custom")
IPC_MODES = ("auto", "private", "parent")
# The host name: the pod's own, or that of the host. There is no such choice of PIDs, see docs.
UTS_MODES = ("private", "host")
# What the end of an app that fails means to the others: rkt's, and that they run on.
END_POD, CONTINUE = "end-pod", "continue"
EXIT_POLICIES = (END_POD, CONTINUE)
# The annotation of an app with its restart policy, see restart, which is imported only where an app has one.
RESTART = "stagecraft.pods/restart"
# The annotation of an app, or of its image, that says READY=1 once it is up. Source: behaviours C11.
NOTIFY = "appc.io/executor/supports-systemd-notify"
# The annotation of an app with its time zone, see timezone.
TIMEZONE = "stagecraft.pods/timezone"
RESTART_POLICIES = ("no", "on-failure", "always", "unless-stopped")
INSECURE = ("capabilities", "paths", "seccomp")
STOP_TIMEOUT = 10
# The flavours that are part of the runtime; any other stage1 is the ID of an image.
NATIVE, FLY = "native", "fly"
# The time of a start that something waits for, pre-start handlers and READY=1 included; a unit's is the same.
START_SECONDS = 300
LONGEST_WAIT = 2**31 - 1  # seconds, more than a lifetime; far larger numbers overflow in clocks and units
LONGEST_POLL = LONGEST_WAIT // 1000  # seconds that poll(2) waits at a time: it takes milliseconds
# Source: behaviours A20.
MDS_WITHOUT_NETWORK = (
    "--mds-register flag does not work with --net=none. Please use 'host', 'default' or an equivalent network"
)
# The kernel accepts 64 characters. Underscores are common, though not in RFC 952.
_HOSTNAME = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9_])?"
# An alias is on one short line with an IPv6 address, see net.slots, and is no address itself.
_ALIAS, _LONGEST_ALIAS = r"(?=.*[A-Za-z])[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?", 80
_LOCAL = ("localhost", "localhost.localdomain", "ip6-localhost")
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
    """The content of resolv.conf. auto: from the networks; custom: these settings. Source: behaviours C39, C40."""

    mode: str = "auto"
    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    domain: str = ""

    @classmethod
    def from_options(
        cls,
        nameservers: tuple[str, ...] = (),
        search: tuple[str, ...] = (),
        options: tuple[str, ...] = (),
        domain: str = "",
    ) -> Dns:
        """Read the form of users and documents: "host" or "none" in place of servers, alone. Raises InvalidSpec."""
        more = (search, options, domain)
        for special in ("host", "none"):
            if special in nameservers:
                _check_alone(special, len(nameservers) > 1, any(more))
                return cls(special)
        return cls("custom", nameservers, *more) if nameservers or any(more) else cls()

    def check(self) -> None:
        """Raise InvalidSpec unless servers are addresses, and each text is one word of a line."""
        for index, server in enumerate(self.nameservers):
            check_address(server, f"dns[{index}]", "Invalid IP passed to --dns")
        for texts, where in ((self.search, "dns_search"), (self.options, "dns_options")):
            for index, text in enumerate(texts):
                check_single_word(text, f"{where}[{index}]")
        if self.domain:
            check_single_word(self.domain, "dns_domain")


def _check_alone(special: str, others: bool, more: bool) -> None:
    if others:
        raise InvalidSpec(
            f"{special} stands alone",
            "take one or the other out",
            where="dns",
            on_argv=f"no other --dns options allowed when --dns={special} is passed",
        )
    if more:
        raise InvalidSpec(
            f"dns: [{special}] leaves no place for dns_search, dns_options and dns_domain",
            "take one or the other out",
            where="dns",
            on_argv=f"Cannot call --dns-opt, --dns-search, or --dns-domain with --dns={special}",
        )


class HostsFile(Value):
    """The content of /etc/hosts. entries: pairs of an address and its names. Source: behaviours C38."""

    mode: str = "auto"
    entries: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def from_options(
        cls, entries: tuple[tuple[str, tuple[str, ...]], ...] = (), from_host: bool = False
    ) -> HostsFile:
        """Read the form of users and documents. Raises InvalidSpec."""
        if from_host and entries:
            raise InvalidSpec(
                "cannot be used together with hosts_from_host",
                "take one or the other out",
                where="hosts_entries",
                on_argv="cannot pass --hosts-entry=host with multiple hosts-entries",
            )
        if from_host:
            return cls("host")
        return cls("custom", entries) if entries else cls()

    def check(self) -> None:
        """Raise InvalidSpec unless each entry has an address and names, and each name is one word of a line."""
        for index, (ip, names) in enumerate(self.entries):
            check_address(ip, f"hosts_entries[{index}].ip", "Invalid IP passed to --hosts-entry")
            where = f"hosts_entries[{index}].names"
            if not names:
                raise InvalidSpec("an address needs a name", 'write names: ["..."]', where=where)
            for at, name in enumerate(names):
                check_single_word(name, f"{where}[{at}]")


def hosts_entry_of(fields: Fields) -> tuple[str, tuple[str, ...]]:
    """Read an entry of /etc/hosts. Raises InvalidSpec with the place."""
    return fields.text("ip"), fields.strings("names")


class LogPolicy(Value):
    """The part of each app's output that is kept: max_files files of max_bytes each."""

    max_bytes: int = 4 * 1024 * 1024
    max_files: int = 3

    def check(self) -> None:
        """Raise InvalidSpec unless at least one file can hold at least one byte."""
        if not 1 <= self.max_bytes <= _LARGEST_FILE:
            raise InvalidSpec(
                f"a log of {self.max_bytes} bytes cannot be kept", "write it as 4m", where="log.max_size"
            )
        check_range(self.max_files, 1, 1000, "log.max_files")

    def held(self) -> LogPolicy:
        """The same bound in total, with no more files than a supervisor should have open for each app."""
        if self.max_files <= _MOST_LOGS:
            return self
        return LogPolicy(min(self.max_bytes * self.max_files // _MOST_LOGS, _LARGEST_FILE), _MOST_LOGS)


class RunSpec(Value):
    """Everything that makes two pods equal beside the manifest.

    name: the pod's name in Ansible, "" for a pod that only has a UUID. hostname "" means rkt-UUID. networks: ("host",)
    and ("none",) are exclusive. insecure: some of INSECURE. stop_timeout: seconds between SIGTERM and SIGKILL.
    private_users: whether it has users of its own, none of which is a user of the host.
    shm_size: of /dev/shm in bytes, 0 for a size by the memory limit.
    stage1: NATIVE, FLY or the ID of an image.
    mds_register: whether it is registered with the metadata service.
    names: whether its hosts files are its own and list the pods of its networks, and its name servers are the host's
    where nothing else says so: plays have that, podctl has rkt's. aliases: by which those pods find it, too.
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
    private_users: bool = False
    shm_size: int = 0
    stage1: str = NATIVE
    exit_policy: str = END_POD
    uts: str = "private"
    mds_register: bool = False
    names: bool = False
    aliases: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise InvalidSpec unless every mode is known and every number in its range."""
        _check_known(self.ipc, IPC_MODES, "ipc")
        _check_known(self.exit_policy, EXIT_POLICIES, "exit_policy")
        _check_known(self.uts, UTS_MODES, "uts")
        if self.uts == "host" and (self.hostname or self.private_users):
            what = "a host name of its own" if self.hostname else "users of its own"
            raise InvalidSpec(
                f"a pod with the host's name cannot have {what}", "take uts: host out", where="uts"
            )
        if self.mds_register and self.no_network:
            raise InvalidSpec(
                "a pod without a network cannot reach the metadata service",
                "let it join a network, or take mds_register out",
                where="mds_register",
                on_argv=MDS_WITHOUT_NETWORK,
            )
        for option in self.insecure:
            _check_known(option, INSECURE, "insecure_options")
        if self.hostname and not _matches(_HOSTNAME, self.hostname):
            raise InvalidSpec(
                f"{self.hostname!r} is not a host name",
                "use at most 64 letters, digits, dashes, dots and underscores",
                where="hostname",
            )
        for index, alias in enumerate(self.aliases):
            _check_alias(alias, f"aliases[{index}]")
        check_range(self.stop_timeout, 0, LONGEST_WAIT, "stop_timeout")
        check_range(self.shm_size, LEAST_TMPFS if self.shm_size else 0, MOST_TMPFS, "shm_size")

    @property
    def host_network(self) -> bool:
        """Whether the pod shares the network of the host."""
        return any(request.name == "host" for request in self.networks)

    @property
    def no_network(self) -> bool:
        """Whether the pod has a loopback interface only."""
        return any(request.name == "none" for request in self.networks)

    @property
    def own_hosts(self) -> bool:
        """Whether each app has a hosts file of its own, which begins with that of the image."""
        return self.names and self.hosts.mode != "host"

    @property
    def has_addresses(self) -> bool:
        """Whether it joins networks, in which others reach it."""
        return not self.host_network and not self.no_network

    def own_hostname(self, default: str) -> str:
        """The host name of the pod, "" if it is that of the host. default: that of a pod without a name for it."""
        return "" if self.uts == "host" else self.hostname or default

    @property
    def follows_servers(self) -> bool:
        """Whether its name servers are those of the host, if no network has any."""
        return self.names and self.dns.mode == "auto" and not self.no_network

    @classmethod
    def from_json(cls, value: object, where: str = "runspec") -> RunSpec:
        """Read the document of a pod. Raises InvalidSpec with the place."""
        fields = Fields(value, where)
        fields.check_format(FORMAT)
        log = fields.within("log")
        return cls(
            name=fields.text("name", ""),
            networks=tuple(_network(*item) for item in fields.items("networks")),
            hostname=fields.text("hostname", ""),
            dns=_dns(fields.within("dns")),
            hosts=_hosts(fields.within("hosts")),
            ipc=fields.text("ipc"),
            insecure=fields.strings("insecure"),
            overlay=fields.boolean("overlay"),
            stop_timeout=fields.integer("stopTimeout"),
            log=LogPolicy(log.integer("maxBytes"), log.integer("maxFiles")),
            private_users=fields.boolean("privateUsers", False),
            shm_size=fields.integer("shmSize", 0),
            stage1=fields.text("stage1", NATIVE),
            exit_policy=fields.text("exitPolicy", END_POD),
            uts=fields.text("uts", "private"),
            mds_register=fields.boolean("mdsRegister", False),
            names=fields.boolean("names", False),
            aliases=fields.strings("aliases"),
        )

    def to_json(self) -> dict[str, object]:
        """The document of a pod: every field that the first release had, also those at their defaults."""
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
            "privateUsers": self.private_users,
            **({"shmSize": self.shm_size} if self.shm_size else {}),
            "stage1": self.stage1,
            "exitPolicy": self.exit_policy,
            **({"uts": self.uts} if self.uts != "private" else {}),
            **({"mdsRegister": True} if self.mds_register else {}),
            **({"names": True} if self.names else {}),
            **({"aliases": list(self.aliases)} if self.aliases else {}),
        }


def _check_alias(alias: str, where: str) -> None:
    if len(alias) > _LONGEST_ALIAS or not _matches(_ALIAS, alias) or alias.lower() in _LOCAL:
        raise InvalidSpec(
            f"{alias!r} cannot be the name of a pod",
            f"use letters, digits, dashes, dots and underscores, {_LONGEST_ALIAS} at most, and not localhost",
            where=where,
        )


def _matches(pattern: str, text: str) -> bool:
    import re  # most pods have neither names of hosts nor settings of DNS

    return bool(re.fullmatch(pattern, text))


def _check_known(value: str, known: tuple[str, ...], where: str) -> None:
    if value not in known:
        raise InvalidSpec(f'unknown value "{value}"', f"use one of {', '.join(known)}", where=where)


def _network(value: object, where: str) -> NetworkRequest:
    fields = Fields(value, where)
    return NetworkRequest(fields.text("name"), fields.pairs("args"))


def _dns(fields: Fields) -> Dns:
    mode = fields.text("mode")
    _check_known(mode, DNS_MODES, fields.where_of("mode"))
    servers = (mode,) if mode in ("host", "none") else fields.strings("nameservers")
    return Dns.from_options(
        servers, fields.strings("search"), fields.strings("options"), fields.text("domain", "")
    )


def _hosts(fields: Fields) -> HostsFile:
    mode = fields.text("mode")
    _check_known(mode, HOSTS_MODES, fields.where_of("mode"))
    return HostsFile.from_options(
        tuple(hosts_entry_of(each) for each in fields.each("entries")), mode == "host"
    )
