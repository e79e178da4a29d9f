# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flags of the commands that prepare and run pods, as data. Source: behaviours A.3 and A.4."""

from __future__ import annotations

from ..appc.names import ACName
from ..errors import InvalidSpec
from ..host.policy import POLICIES, check_policy
from ..net.conf import parse_requests
from ..pod.names import PodName
from . import values
from .flags import EITHER, IMAGE, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PULL_POLICIES = ("new", "update", "never")
STAGE1 = ("stage1-url", "stage1-path", "stage1-name", "stage1-hash", "stage1-from-dir")


def parse_pull_policy(text: str) -> str:
    """--pull-policy. Raises InvalidSpec."""
    if text not in PULL_POLICIES:
        raise InvalidSpec(f'invalid pull policy "{text}"', f"use one of {', '.join(PULL_POLICIES)}")
    return text


def _retained(text: str) -> object:
    return values.parse_capabilities("retain", text)


def _removed(text: str) -> object:
    return values.parse_capabilities("remove", text)


SIGNATURE = Flag("signature", "FILE", "a detached signature of the image before it", scope=IMAGE, once=True)


def _of_image(
    name: str, value: str, text: str, parse: Callable[[str], object] | None = None, means: str = ""
) -> Flag:
    return Flag(name, value, text, scope=IMAGE, parse=parse, means=means, hidden=not text)


# What may follow an image.
PER_IMAGE = (
    SIGNATURE,
    Flag("exec", "PATH", "run this instead of what the image says", scope=IMAGE, once=True),
    Flag(
        "mount",
        "volume=NAME,target=PATH",
        "a volume at a path of the app; before the first image, of every app",
        scope=EITHER,
        parse=values.parse_mount,
    ),
    Flag(
        "image-isolators",
        "|".join(POLICIES),
        "what of an image's isolators that lies beyond the defaults; before the first image, of all images",
        scope=EITHER,
        parse=check_policy,
    ),
    _of_image("name", "NAME", "the name of the app", ACName),
    _of_image("working-dir", "PATH", "the directory that the app starts in", values.parse_working_dir),
    _of_image("readonly-rootfs", "BOOL", "mount the app's root read-only", values.parse_readonly_rootfs),
    _of_image("user", "USER", "run as this user: a name, a number, or the owner of a path"),
    _of_image("group", "GROUP", "run as this group"),
    _of_image("supplementary-gids", "GID,...", "further groups, by number", values.parse_gids),
    _of_image("environment", "KEY=VALUE", "a variable of this app alone", values.parse_variable),
    _of_image("annotation", "KEY=VALUE", "an annotation of the app", values.parse_annotation),
    _of_image(
        "user-annotation", "KEY=VALUE", "a user annotation, in place of the image's", values.parse_pair
    ),
    _of_image("user-label", "KEY=VALUE", "a user label, in place of the image's", values.parse_pair),
    _of_image("memory", "QUANTITY", "the memory limit: 128M, 64Mi", values.parse_memory),
    _of_image("cpu", "QUANTITY", "the CPU limit: 500m, 2", values.parse_cpu),
    _of_image("cpu-shares", "N", "the weight of its share of CPU: 2 to 262144", values.parse_cpu_shares),
    _of_image("oom-score-adj", "N", "how soon it dies for memory: -1000 to 1000", values.parse_oom_score_adj),
    _of_image(
        "oom-score-adjust",
        "N",
        "another name of --oom-score-adj",
        values.parse_oom_score_adj,
        "oom-score-adj",
    ),
    Flag(
        "pids-limit",
        "N",
        "how many processes and threads there may be, -1 for any; before the first image, of all apps together",
        scope=EITHER,
        parse=values.parse_pids_limit,
    ),
    _of_image("caps-retain", "CAP_X,...", "the capabilities that the app may have", _retained),
    _of_image("caps-remove", "CAP_X,...", "the capabilities to take from the usual ones", _removed),
    _of_image("cap-retain", "CAP_X,...", "", _retained, "caps-retain"),
    _of_image("cap-remove", "CAP_X,...", "", _removed, "caps-remove"),
    _of_image(
        "seccomp",
        "mode=MODE[,errno=E],CALL,...",
        "the system calls to retain or to remove",
        values.parse_seccomp,
    ),
)

FETCHING = (
    Flag("pull-policy", "new|update|never", "when to ask the network for an image", parse=parse_pull_policy),
    Flag("store-only", "", "another name of --pull-policy=never", bare="true"),
    Flag("no-store", "", "another name of --pull-policy=update", bare="true"),
)

# What prepare and run share.
PREPARING = (
    Flag(
        "volume",
        "NAME,kind=KIND,...",
        "a volume: kind=host,source=PATH or kind=empty",
        parse=values.parse_volume,
    ),
    Flag(
        "port",
        "NAME:[HOSTIP:]HOSTPORT",
        "a port of the host that leads to an app's",
        parse=values.parse_port,
    ),
    Flag("inherit-env", "", "give the caller's variables to apps that do not set them", bare="true"),
    Flag("set-env", "KEY=VALUE", "a variable of every app", parse=values.parse_variable),
    Flag("set-env-file", "PATH", "variables of every app, one KEY=VALUE a line"),
    Flag("no-overlay", "", "copy the images' files instead of laying an overlay over them", bare="true"),
    Flag("private-users", "", "run in a user namespace", bare="true"),
    Flag("pod-manifest", "FILE", "take the whole pod from this manifest; its images must be in the store"),
    *FETCHING,
    *(Flag(name, "IMAGE", "the stage1 image", hidden=True) for name in STAGE1),
    *PER_IMAGE,
)

# What run and run-prepared share.
RUNNING = (
    Flag(
        "net",
        "NAME[:K=V],...",
        "the networks to join, or host, or none",
        bare="default",
        parse=parse_requests,
    ),
    Flag("interactive", "", "connect the app to this terminal", bare="true"),
    Flag("dns", "IP|host|none", "name servers"),
    Flag("dns-search", "DOMAIN", "domains to look up short names in"),
    Flag("dns-opt", "OPTION", "options of resolv.conf"),
    Flag("dns-domain", "DOMAIN", "the domain of resolv.conf"),
    Flag("hosts-entry", "IP=NAME|host", "entries of /etc/hosts, or the host's own file"),
    Flag("hostname", "NAME", "the host name of the pod; rkt-UUID if none is given"),
    Flag("ipc", "auto|private|parent", "whose System V IPC and message queues the pod sees"),
    Flag("mds-register", "", "register with the metadata service", bare="true"),
)

UUID_FILE_SAVE = Flag("uuid-file-save", "FILE", "write the pod's UUID into this file as soon as there is one")
POD_NAME = Flag("pod-name", "NAME", "a name that means this pod in every command", parse=PodName)
DRY_RUN = Flag("dry-run", "", "say what would be done, and do not do it", bare="true")
DETACH = Flag("detach", "", "return once the apps have been started", bare="true")
QUIET = Flag("quiet", "", "print nothing but the UUID", bare="true")

PREPARE = (*PREPARING, QUIET, POD_NAME, DRY_RUN)
RUN = (*PREPARING, *RUNNING, UUID_FILE_SAVE, POD_NAME, DRY_RUN)
RUN_PREPARED = (*RUNNING, DETACH)
