# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of options. Each is defined once, here; those of an app are in app.

The argument specifications, the check of the documentation, podctl's flags, the way from YAML and argv to a spec and
the paths of changes are functions over it. The meaning of values, and which are refused, is in parsers.
"""

from __future__ import annotations

from ...appc.ports import PROTOCOLS, ExposedPort
from ...appc.volumes import ALL_KINDS, PROPAGATIONS, any_volume_of
from ...image.policy import PULLS, FetchPolicy
from ...pod.names import PodName
from ...pod.runspec import EXIT_POLICIES, INSECURE, IPC_MODES, UTS_MODES, RunSpec, hosts_entry_of
from ..spec import STATES, Conduct
from . import parsers
from .app import APP, IMAGE_ISOLATORS, MOUNTS, OF_YAML, SHORT, app_spec
from .option import (
    BOOLEAN,
    FORM,
    FORMS,
    INTEGER,
    NONE,
    NUMBER,
    NUMBER_OR_WORD,
    PAIRS,
    PATH,
    PLAIN_PAIRS,
    RECREATE,
    SPELLED,
    TEXT,
    VARIABLES,
    WORDS,
    AsFlag,
    Kind,
    Option,
    limits,
)

_OF_TASKS = "podctl replaces no pod"
_NO_NAMES = "rkt had no names of pods"
_LOGS = "rkt left it to the journal"

_VOLUME = (
    Option("name", TEXT, required=True, flag=AsFlag("name")),
    Option("kind", TEXT, choices=ALL_KINDS, flag=AsFlag("kind")),
    Option("volume", TEXT, flag=AsFlag("volume")),
    Option("source", PATH, flag=AsFlag("source")),
    Option("read_only", BOOLEAN, document="readOnly", flag=AsFlag("readOnly")),
    Option("recursive", BOOLEAN, flag=AsFlag("recursive")),
    Option("image", TEXT, flag=AsFlag("image")),
    Option(
        "propagation",
        TEXT,
        choices=PROPAGATIONS,
        flag=AsFlag("propagation"),
    ),
    Option("copy", BOOLEAN, flag=AsFlag("copy")),
    Option("owner", TEXT, flag=AsFlag("owner")),
    Option("group", TEXT, flag=AsFlag("group")),
    Option("mode", SPELLED, flag=AsFlag("mode")),
    Option("uid", INTEGER, flag=AsFlag("uid")),
    Option("gid", INTEGER, flag=AsFlag("gid")),
    Option("map", WORDS, flag=AsFlag("map", text="ranges")),
)
_EXPOSED_PORT = (
    SHORT,
    Option("name", TEXT, flag=AsFlag("NAME")),
    Option("port", INTEGER, no_flag=OF_YAML),
    Option("protocol", TEXT, choices=PROTOCOLS, no_flag=OF_YAML),
    Option("count", INTEGER, no_flag=OF_YAML),
    Option("host_port", NUMBER_OR_WORD, document="hostPort", flag=AsFlag("HOSTPORT")),
    Option("host_ip", TEXT, document="hostIP", flag=AsFlag("HOSTIP")),
)
_ENV_FILE = (SHORT, Option("content", TEXT, no_flag="podctl reads the file"))
_HOSTS_ENTRY = (
    Option("ip", TEXT, required=True, flag=AsFlag("IP")),
    Option("names", WORDS, required=True, flag=AsFlag("NAME")),
)
_LOG = (
    Option("max_size", TEXT, "run.log.max_bytes", "run.log.maxBytes", parsers.size, "text", no_flag=_LOGS),
    Option("max_files", INTEGER, "run.log.max_files", "run.log.maxFiles", no_flag=_LOGS),
)
# One way at most. That of a pod is known by its flavour or its image.
_STAGE1 = (
    Option(
        "stage1_name",
        TEXT,
        "stage1.name",
        "run.stage1",
        back="flavour",
        flag=AsFlag(
            "stage1-name", "NAME", "the stage1 of the pod: native, fly, or the name of an image", late=True
        ),
    ),
    Option(
        "stage1_hash",
        TEXT,
        "stage1.hash",
        "run.stage1",
        back="stage1_image",
        flag=AsFlag("stage1-hash", "ID", "a stage1 image of the store", late=True),
    ),
    Option(
        "stage1_path",
        PATH,
        "stage1.path",
        parse=parsers.absolute,
        flag=AsFlag("stage1-path", "PATH", "a stage1 image in a file", late=True),
    ),
    Option(
        "stage1_url",
        TEXT,
        "stage1.url",
        flag=AsFlag("stage1-url", "URL", "a stage1 image to fetch", late=True),
    ),
    Option(
        "stage1_from_dir",
        TEXT,
        "stage1.from_dir",
        flag=AsFlag("stage1-from-dir", "FILE", "a file in the directory of stage1 images", late=True),
    ),
)
_UPDATE = (
    Option("min_uptime", NUMBER, "conduct.min_uptime", parse=parsers.uptime, impact=NONE, no_flag=_OF_TASKS),
)

POD = (
    Option(
        "name",
        TEXT,
        "run.name",
        "run.name",
        PodName,
        required=True,
        impact=NONE,
        flag=AsFlag("pod-name", "NAME", "a name that means this pod in every command"),
    ),
    Option(
        "state",
        TEXT,
        "conduct.state",
        choices=STATES,
        default=Conduct.state,
        impact=NONE,
        no_flag="each is a command",
    ),
    Option("restart_apps", WORDS, "conduct.restart_apps", default=(), impact=NONE, no_flag=_OF_TASKS),
    Option("apps", FORMS, "apps", "pod.apps", app_spec, options=APP, no_flag="each IMAGE is one"),
    Option(
        "volumes",
        FORMS,
        "volumes",
        "pod.volumes",
        any_volume_of,
        "volumes",
        key=("name",),
        default=(),
        flag=AsFlag(
            "volume",
            "NAME,kind=KIND,...",
            "a volume: kind=host,source=PATH or kind=empty",
            "volumes",
            wrong='invalid value in --volume flag "{}": ',
        ),
        options=_VOLUME,
    ),
    MOUNTS,
    Option(
        "ports",
        FORMS,
        "ports",
        "pod.ports",
        ExposedPort.of,
        "ports",
        ("name", "port"),
        default=(),
        flag=AsFlag(
            "port",
            "NAME:[HOSTIP:]HOSTPORT",
            "a host port to forward to a port of an app",
            "ports",
        ),
        options=_EXPOSED_PORT,
    ),
    Option(
        "environment",
        VARIABLES,
        "set_env",
        secret=True,
        flag=AsFlag("set-env", "KEY=VALUE", "a variable of every app", "unique_pairs"),
    ),
    Option(
        "env_file",
        Kind("list", "dict", parsers.variable_files, "words"),
        "env_file",
        secret=True,
        flag=AsFlag("set-env-file", "PATH", "variables of every app, one KEY=VALUE a line", late=True),
        options=_ENV_FILE,
    ),
    Option(
        "env_file_from",
        TEXT,
        choices=("controller", "host"),
        default="controller",
        impact=NONE,
        no_flag="podctl reads files of its host",
    ),
    Option(
        "networks",
        WORDS,
        "run.networks",
        "run.networks",
        parsers.networks,
        "networks",
        default=("default",),
        flag=AsFlag(
            "net",
            "NAME[:K=V],...",
            "the networks to join, or host, or none",
            "networks",
            bare="default",
            running=True,
        ),
    ),
    Option(
        "hostname",
        TEXT,
        "run.hostname",
        "run.hostname",
        flag=AsFlag("hostname", "NAME", "the host name of the pod; rkt-UUID if none is given", running=True),
    ),
    Option("aliases", WORDS, "run.aliases", "run.aliases", default=(), no_flag=_NO_NAMES),
    Option(
        "dns",
        WORDS,
        "run.dns.nameservers",
        "run.dns",
        back="dns",
        default=(),
        flag=AsFlag("dns", "IP|host|none", "name servers", running=True),
    ),
    Option(
        "dns_search",
        WORDS,
        "run.dns.search",
        "run.dns.search",
        default=(),
        flag=AsFlag("dns-search", "DOMAIN", "domains to look up short names in", running=True),
    ),
    Option(
        "dns_options",
        WORDS,
        "run.dns.options",
        "run.dns.options",
        default=(),
        flag=AsFlag("dns-opt", "OPTION", "options of resolv.conf", running=True),
    ),
    Option(
        "dns_domain",
        TEXT,
        "run.dns.domain",
        "run.dns.domain",
        flag=AsFlag("dns-domain", "DOMAIN", "the domain of resolv.conf", running=True),
    ),
    Option(
        "hosts_entries",
        FORMS,
        "run.hosts.entries",
        "run.hosts.entries",
        hosts_entry_of,
        default=(),
        flag=AsFlag(
            "hosts-entry",
            "IP=NAME|host",
            "entries of /etc/hosts, or the host's own file",
            "hosts_entries",
            late=True,
            running=True,
        ),
        options=_HOSTS_ENTRY,
    ),
    Option(
        "hosts_from_host",
        BOOLEAN,
        "run.hosts.from_host",
        "run.hosts.mode",
        back="is_host",
        default=False,
        flag=AsFlag("hosts-entry", text="names_host", late=True, running=True),
    ),
    Option(
        "mds_register",
        BOOLEAN,
        "run.mds_register",
        "run.mdsRegister",
        default=False,
        flag=AsFlag(
            "mds-register", "", "register the pod with the metadata service", bare="true", running=True
        ),
    ),
    Option(
        "ipc",
        TEXT,
        "run.ipc",
        "run.ipc",
        choices=IPC_MODES,
        default=RunSpec.ipc,
        flag=AsFlag(
            "ipc",
            "|".join(IPC_MODES),
            "the pod's System V IPC and message queues: its own or the host's",
            "ipc",
            late=True,
            running=True,
            unknown="unknown value for --ipc parameter: {}",
        ),
    ),
    Option(
        "uts",
        TEXT,
        "run.uts",
        "run.uts",
        choices=UTS_MODES,
        default=RunSpec.uts,
        flag=AsFlag(
            "uts",
            "|".join(UTS_MODES),
            "the pod's host name: its own or the host's",
            late=True,
            running=True,
            unknown="unknown value for --uts parameter: {}",
        ),
    ),
    Option(
        "private_users",
        BOOLEAN,
        "private_users",
        "run.privateUsers",
        flag=AsFlag(
            "private-users",
            "",
            "give the pod its own users, none of which is a user of the host",
            bare="true",
        ),
    ),
    IMAGE_ISOLATORS,
    *limits("pod"),
    Option(
        "sysctls",
        PLAIN_PAIRS,
        "isolators[]",
        "pod.isolators[os/unix/sysctl]",
        parsers.sysctls,
        flag=AsFlag("sysctl", "NAME=VALUE", "a sysctl of the pod's namespaces"),
    ),
    Option(
        "shm_size",
        TEXT,
        "run.shm_size",
        "run.shmSize",
        parsers.size,
        "text",
        flag=AsFlag("shm-size", "SIZE", "the size of /dev/shm, which all apps share: 64m"),
    ),
    *_STAGE1,
    Option(
        "no_overlay",
        BOOLEAN,
        "run.overlay",
        "run.overlay",
        parsers.absent,
        "opposite",
        default=False,
        flag=AsFlag(
            "no-overlay", "", "copy the images' files instead of mounting an overlay over them", bare="true"
        ),
    ),
    Option(
        "stop_timeout",
        INTEGER,
        "run.stop_timeout",
        "run.stopTimeout",
        default=RunSpec.stop_timeout,
        flag=AsFlag("stop-timeout", "SECONDS", "how long apps that are stopped have before they are killed"),
    ),
    Option(
        "exit_policy",
        TEXT,
        "run.exit_policy",
        "run.exitPolicy",
        choices=EXIT_POLICIES,
        default=RunSpec.exit_policy,
        flag=AsFlag(
            "exit-policy",
            "|".join(EXIT_POLICIES),
            "what an app that fails means to the others: it ends the pod, or they run on",
            unknown='unknown exit policy "{}"',
        ),
    ),
    Option("log", FORM, "run.log", "run.log", options=_LOG, no_flag=_LOGS),
    Option("labels", PAIRS, "user_labels", "pod.userLabels", no_flag="rkt had labels of apps only"),
    Option("update", FORM, "conduct", options=_UPDATE, impact=NONE, no_flag=_OF_TASKS),
    Option(
        "wait",
        BOOLEAN,
        "conduct.wait",
        default=Conduct.wait,
        impact=NONE,
        no_flag="podctl run waits for the end",
    ),
    Option(
        "wait_timeout",
        INTEGER,
        "conduct.wait_timeout",
        parse=parsers.wait_seconds,
        default=Conduct.wait_timeout,
        impact=NONE,
        no_flag="podctl status --wait=DURATION",
    ),
    Option(
        "tail",
        INTEGER,
        "conduct.tail",
        parse=parsers.wait_seconds,
        default=Conduct.tail,
        impact=NONE,
        no_flag="podctl logs --tail=N",
    ),
)

# How images are fetched. Every module takes these, so that they can be defaults of the action group.
FETCH = (
    Option(
        "pull",
        TEXT,
        "policy.pull",
        choices=PULLS,
        default=FetchPolicy.pull,
        impact=NONE,
        flag=AsFlag(
            "pull-policy",
            "new|update|never",
            "when to ask the network for an image",
            unknown='invalid pull policy "{}"',
        ),
    ),
    Option(
        "insecure_options",
        WORDS,
        ("policy.insecure", "run.insecure"),
        "run.insecure",
        parsers.insecure,
        "as_set",
        choices=("image", "tls", "http", *INSECURE),
        default=(),
        flag=AsFlag("insecure-options", text="last_words"),
    ),
)

# Where the pods of a host are.
HOST = (
    Option("data_dir", PATH, default="/var/lib/pods", impact=NONE, flag=AsFlag("dir")),
    Option("config_dir", PATH, default="/etc/pods", impact=NONE, flag=AsFlag("local-config")),
    Option("runtime", TEXT, impact=NONE, no_flag="podctl is part of one"),
)


def impact_of(path: str) -> str:
    """The impact of a change of the option at a path, such as apps[0].memory, on a running pod."""
    import re  # for what has changed alone

    rows, impact = {row.name: row for row in (*POD, *FETCH, *HOST)}, RECREATE
    for name in re.split(r"\[\d+\]\.?|\.", path):
        if name not in rows:
            break
        impact = rows[name].impact
        rows = {row.name: row for row in rows[name].options}
    return impact
