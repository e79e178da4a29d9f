# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of options, those of an app. Each is defined once, here; those of the pod are in pod."""

from __future__ import annotations

from ...appc.image import STOP_SIGNAL
from ...appc.isolators import MODES, SECCOMP_PROFILE
from ...appc.ports import PROTOCOLS, Port
from ...appc.volumes import Mount, Tmpfs
from ...host.policy import POLICIES
from ...pod.runspec import NOTIFY, RESTART, RESTART_POLICIES, TIMEZONE
from ..spec import AppSpec
from . import parsers
from .option import (
    ARGUMENTS,
    BOOLEAN,
    FORM,
    FORMS,
    INTEGER,
    INTEGERS,
    LABEL,
    NONE,
    PAIRS,
    PATH,
    SPELLED,
    TEXT,
    VARIABLES,
    WORDS,
    AsFlag,
    Option,
    isolator,
    limits,
    members,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...fields import Fields

_IMAGES_ONLY = "rkt took it from the image"
_CAPABILITIES = "CAP_X,..."


OF_YAML = "argv has rkt's grammar"
# The element of a list as one text, see short.
SHORT = Option("short", TEXT, no_flag=OF_YAML)
MOUNT = (
    SHORT,
    Option("volume", TEXT, flag=AsFlag("volume")),
    Option("target", PATH, "path", "path", flag=AsFlag("target")),
    Option("read_only", BOOLEAN, document="readOnly", no_flag=OF_YAML),
)
# Of the pod and of an app.
MOUNTS = Option(
    "mounts",
    FORMS,
    "mounts",
    "mounts",
    Mount.of,
    key=("target",),
    default=(),
    flag=AsFlag(
        "mount",
        "volume=NAME,target=PATH",
        "a volume at a path of the app; before the first image, of every app",
        "mounts",
    ),
    options=MOUNT,
)
IMAGE_ISOLATORS = Option(
    "image_isolators",
    TEXT,
    "image_isolators",
    choices=POLICIES,
    impact=NONE,
    flag=AsFlag(
        "image-isolators",
        "|".join(POLICIES),
        "what becomes of an image's isolators beyond the defaults; before the first image, of all images",
    ),
)
_SECCOMP = (
    Option("mode", TEXT, choices=MODES, required=True, flag=AsFlag("mode")),
    Option("syscalls", WORDS, document="set", required=True, no_flag="they are in the value as they are"),
    Option("errno", TEXT, flag=AsFlag("errno")),
)
_TMPFS = (
    SHORT,
    Option("target", PATH, document="path", flag=AsFlag("target")),
    Option("size", TEXT, flag=AsFlag("size")),
    Option("mode", SPELLED, flag=AsFlag("mode")),
)
_RESTART = (
    Option(
        "policy",
        TEXT,
        choices=RESTART_POLICIES,
        default=RESTART_POLICIES[0],
        flag=AsFlag("policy", unknown='unknown restart policy "{}"'),
    ),
    Option("max_retries", INTEGER, flag=AsFlag("max-retries")),
    Option("backoff", TEXT, flag=AsFlag("backoff")),
    Option("max_backoff", TEXT, flag=AsFlag("max-backoff")),
)
_PORT = (
    Option("name", TEXT, required=True, no_flag=_IMAGES_ONLY),
    Option("port", INTEGER, required=True, no_flag=_IMAGES_ONLY),
    Option("protocol", TEXT, choices=PROTOCOLS, default=PROTOCOLS[0], no_flag=_IMAGES_ONLY),
    Option("count", INTEGER, default=Port.count, no_flag=_IMAGES_ONLY),
)

APP = (
    Option("image", TEXT, "image", "image.id", parsers.image, required=True, no_flag="it is IMAGE itself"),
    Option(
        "name", TEXT, "name", "name", parsers.app_name, flag=AsFlag("name", "NAME", "the name of the app")
    ),
    Option(
        "exec",
        TEXT,
        "exec",
        "app.exec",
        parsers.program,
        "first",
        overrides=True,
        flag=AsFlag("exec", "PATH", "run this instead of the image's program", once=True),
    ),
    Option("args", ARGUMENTS, "args", "app.exec", back="rest", default=(), no_flag="they follow --"),
    Option(
        "command",
        ARGUMENTS,
        "command",
        default=(),
        no_flag="with rkt, what follows -- is appended and --exec replaces all; Entrypoint and Cmd are docker's",
    ),
    Option(
        "working_dir",
        TEXT,
        "working_directory",
        "app.workingDirectory",
        parsers.absolute,
        overrides=True,
        flag=AsFlag("working-dir", "PATH", "the directory that the app starts in"),
    ),
    Option(
        "user",
        TEXT,
        "user",
        "app.user",
        overrides=True,
        flag=AsFlag("user", "USER", "run as this user: a name, a number, or the owner of a path"),
    ),
    Option(
        "group",
        TEXT,
        "group",
        "app.group",
        overrides=True,
        flag=AsFlag("group", "GROUP", "run as this group"),
    ),
    Option(
        "supplementary_gids",
        INTEGERS,
        "supplementary_gids",
        "app.supplementaryGIDs",
        parsers.gids,
        "as_set",
        overrides=True,
        flag=AsFlag("supplementary-gids", "GID,...", "supplementary groups, by number"),
    ),
    Option(
        "environment",
        VARIABLES,
        "environment",
        "app.environment",
        back="pairs",
        secret=True,
        overrides=True,
        flag=AsFlag("environment", "KEY=VALUE", "a variable of this app only"),
    ),
    MOUNTS,
    Option(
        "tmpfs",
        FORMS,
        "tmpfs",
        "tmpfs",
        Tmpfs.of,
        key=("target",),
        default=(),
        flag=AsFlag(
            "tmpfs", "PATH[:size=SIZE,mode=MODE]", "a file system in memory at a path of the app", "tmpfs"
        ),
        options=_TMPFS,
    ),
    *limits("app"),
    isolator(
        "oom_score_adj",
        INTEGER,
        "os/linux/oom-score-adj",
        AsFlag(
            "oom-score-adj",
            "N",
            "how soon the OOM killer picks it: -1000 to 1000",
            also=("oom-score-adjust",),
        ),
    ),
    Option(
        "ulimits",
        FORM,
        "isolators[]",
        "app.isolators[os/linux/rlimits]",
        parsers.ulimits,
        overrides=True,
        no_flag="rkt left it to systemd",
    ),
    isolator(
        "caps_retain",
        WORDS,
        "os/linux/capabilities-retain-set.set",
        AsFlag(
            "caps-retain",
            _CAPABILITIES,
            "the capabilities to retain",
            "last_words",
            also=("cap-retain",),
        ),
        check=parsers.check_capabilities,
    ),
    isolator(
        "caps_remove",
        WORDS,
        "os/linux/capabilities-remove-set.set",
        AsFlag(
            "caps-remove",
            _CAPABILITIES,
            "the capabilities to remove from the default ones",
            "last_words",
            also=("cap-remove",),
        ),
        check=parsers.check_capabilities,
    ),
    Option(
        "seccomp",
        FORM,
        "isolators[]",
        "app.isolators",
        parsers.seccomp,
        "seccomp",
        overrides=True,
        flag=AsFlag(
            "seccomp",
            "mode=MODE[,errno=E],CALL,...",
            "the system calls to retain or to remove",
            "seccomp",
        ),
        options=_SECCOMP,
    ),
    isolator(
        "seccomp_profile",
        PATH,
        f"{SECCOMP_PROFILE}.file",
        AsFlag("seccomp-profile", "PATH", "the system calls to allow, by a profile in docker's JSON"),
        check=parsers.absolute,
    ),
    isolator(
        "apparmor",
        TEXT,
        "os/linux/apparmor-profile",
        AsFlag("apparmor", "PROFILE", "the AppArmor profile of the app, which the host has loaded"),
    ),
    Option(
        "selinux",
        LABEL,
        "isolators[]",
        "app.isolators[os/linux/selinux-context]",
        parsers.selinux,
        "selinux",
        overrides=True,
        flag=AsFlag("selinux", "USER:ROLE:TYPE:LEVEL", "the SELinux label of the app"),
    ),
    isolator(
        "no_new_privileges",
        BOOLEAN,
        "os/linux/no-new-privileges",
        AsFlag(
            "no-new-privileges",
            "",
            "let no program of it gain rights, by set-user-ID or file capabilities",
            bare="true",
        ),
    ),
    Option(
        "privileged",
        BOOLEAN,
        "privileged",
        "privileged",
        default=False,
        flag=AsFlag("privileged", "", "keep nothing from the app that root of the host may do", bare="true"),
    ),
    IMAGE_ISOLATORS,
    Option(
        "readonly_rootfs",
        BOOLEAN,
        "read_only_root_fs",
        "readOnlyRootFS",
        default=False,
        flag=AsFlag("readonly-rootfs", "BOOL", "mount the app's root read-only", "truth_of_rootfs"),
    ),
    Option(
        "ports",
        FORMS,
        "ports",
        "app.ports",
        Port.of,
        key=("name",),
        default=(),
        overrides=True,
        no_flag=_IMAGES_ONLY,
        options=_PORT,
    ),
    Option(
        "pre_start",
        ARGUMENTS,
        "event_handlers[]",
        "app.eventHandlers[pre-start].exec",
        parsers.handler("pre-start"),
        default=(),
        overrides=True,
        no_flag=_IMAGES_ONLY,
    ),
    Option(
        "post_stop",
        ARGUMENTS,
        "event_handlers[]",
        "app.eventHandlers[post-stop].exec",
        parsers.handler("post-stop"),
        default=(),
        overrides=True,
        no_flag=_IMAGES_ONLY,
    ),
    Option(
        "stop_signal",
        TEXT,
        "annotations[]",
        f"annotations[{STOP_SIGNAL}]",
        parsers.stop_signal,
        no_flag="rkt left it to systemd",
    ),
    Option(
        "timezone",
        TEXT,
        "annotations[]",
        f"annotations[{TIMEZONE}]",
        parsers.timezone,
        flag=AsFlag("tz", "ZONE", "the time zone of the app: Europe/Berlin, or local for the host's"),
    ),
    Option(
        "sdnotify",
        BOOLEAN,
        "annotations[]",
        f"annotations[{NOTIFY}]",
        parsers.sdnotify,
        "truth",
        flag=AsFlag("sdnotify", "", "count it as started once it has said READY=1", bare="true"),
    ),
    Option(
        "restart",
        FORM,
        "annotations[]",
        f"annotations[{RESTART}]",
        parsers.restart,
        "restart",
        flag=AsFlag(
            "restart",
            "POLICY[:RETRIES]",
            "start it again after its end: on-failure:5, always, unless-stopped",
            "restart",
            once=True,
        ),
        options=_RESTART,
    ),
    Option(
        "user_annotations",
        PAIRS,
        "user_annotations",
        "app.userAnnotations",
        overrides=True,
        flag=AsFlag("user-annotation", "KEY=VALUE", "a user annotation, in place of the image's"),
    ),
    Option(
        "user_labels",
        PAIRS,
        "user_labels",
        "app.userLabels",
        overrides=True,
        flag=AsFlag("user-label", "KEY=VALUE", "a user label, in place of the image's"),
    ),
)


def app_spec(options: Fields) -> AppSpec:
    """The spec of an app from its options. Raises InvalidSpec with the place."""
    options.text("image")
    return options.made(AppSpec, **members(APP, options))
