# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of podctl and their flags, as data. The code of a command is imported when it is called.

Source: behaviours A.1, A.2, A.6 to A.10.
"""

from __future__ import annotations

import os

from ..value import Value
from .flags import DRY_RUN, Flag, is_true

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


# How the words after a command are read.
PLAIN, IMAGES, IMAGES_ONLY, FIRST_ENDS = "plain", "images", "images-only", "first-ends"


def _parse_insecure(text: str) -> object:
    from ..image.policy import parse_insecure

    return parse_insecure(text)


GLOBAL = (
    Flag("debug", "", "tell everything, and every cause of an error", bare="true"),
    Flag("dir", "DIR", "the data directory"),
    Flag("system-config", "DIR", "the directory of the system's configuration"),
    Flag("local-config", "DIR", "the directory of the local configuration"),
    Flag("user-config", "DIR", "the directory of the user's configuration"),
    Flag(
        "insecure-options",
        "OPTION,...",
        "what to let through unchecked: image, tls, http, pubkey, capabilities, paths, seccomp",
        parse=_parse_insecure,
    ),
    Flag("trust-keys-from-https", "", "accept keys that were found over https", bare="true"),
)

_UUID_FILE = Flag("uuid-file", "FILE", "take the pod's UUID from this file")
_FORMAT = Flag("format", "FORMAT", "json or json-pretty")
_FULL = Flag("full", "", "show everything in full", bare="true")
_NO_LEGEND = Flag("no-legend", "", "leave out the header", bare="true")
_PRETTY = Flag("pretty-print", "", "indent the JSON", bare="true")
_SECRETS = Flag("show-secrets", "", "show passwords on a terminal as well", bare="true")

_LIST = (_FULL, _NO_LEGEND, _FORMAT)
_STATUS = (
    _UUID_FILE,
    _FORMAT,
    Flag("wait", "DURATION", "wait until the pod has ended, at most this long", bare="true"),
    Flag("wait-ready", "DURATION", "wait until the pod's apps have been started", bare="true"),
)
_GC = (
    Flag("grace-period", "DURATION", "keep exited pods this long (30m)"),
    Flag("expire-prepared", "DURATION", "keep prepared pods this long (24h)"),
    Flag("mark-only", "", "mark what is garbage, and delete nothing", bare="true"),
    DRY_RUN,
)
_IMAGE_GRACE = Flag("grace-period", "DURATION", "keep images that were used this long ago (24h)")
_IMAGE_GC = (
    _IMAGE_GRACE,
    Flag("max-images", "N", "keep at most so many, those used longest ago go first"),
    Flag("max-bytes", "SIZE", "the same by the bytes that they occupy, such as 10g"),
)
_LOGS = (
    Flag("app", "APP", "the output of this app alone"),
    Flag("follow", "", "go on until the pod has ended", bare="true"),
    Flag("tail", "N", "only the last lines"),
    Flag("since", "TIME", "nothing older: 10m, 2026-01-31 or 2026-01-31T14:00:00Z"),
    Flag("until", "TIME", "nothing newer"),
    Flag("timestamps", "", "begin each line with its time", bare="true"),
)
_IMAGE_LIST = (
    _FULL,
    _NO_LEGEND,
    _FORMAT,
    Flag("fields", "FIELD,...", "the columns: id, name, size, importtime, lastused"),
    Flag("sort", "FIELD,...", "what to sort by"),
    Flag("order", "asc|desc", "which way to sort"),
)
_OVERWRITE = Flag("overwrite", "", "replace what is there", bare="true")
_APP = Flag("app", "APP", "the app, where the pod has several")
_EXPORT_FORMAT = Flag("format", "aci|oci", "of the image, if the ending of the file does not tell it")
_CP = (
    _APP,
    Flag("archive", "", "keep the users and groups that own the files", bare="true"),
    Flag("follow-link", "", "copy what a link leads to", bare="true"),
)
_MODE = Flag("mode", "auto|list|ENDPOINT,...", "what to attach to; list prints what there is")
_OUTPUT = Flag("output", "FILE", "the archive; without it, or with -, standard output")
_ROOTFS_ONLY = Flag("rootfs-only", "", "the files alone, without a manifest beside them", bare="true")
_METADATA = (
    Flag("listen-port", "PORT", "the port for queries, on all addresses (18112)"),
    Flag("detach", "", "serve in the background", bare="true"),
)
_TRUST = (
    Flag("prefix", "PREFIX", "trust the keys for images of this name and below it"),
    Flag("root", "", "trust the keys for all images", bare="true"),
    Flag("insecure-allow-http", "", "allow keys to come over plain http", bare="true"),
    Flag("skip-fingerprint-review", "", "trust the keys without asking", bare="true"),
    Flag("policy", "POLICY", "of docker images: accept, reject, signed by the keys, or none to remove one"),
    Flag("lookaside", "URL", "where signatures of docker images by OpenPGP are"),
    DRY_RUN,
)


class Command(Value):
    """A command. name: one or two words. arguments: for the usage line. family: its file in commands/.

    flags: called when they are needed. reads: how its words are read. root: whether it needs root.
    ours: not one of rkt's, so that rkt's abbreviations stay unique. hidden: not in the help.
    experiment: the variable that has to be true, else there is no such command. Source: behaviours A8.
    """

    name: str
    arguments: str
    summary: str
    family: str
    flags: Callable[[], Sequence[Flag]] = tuple
    reads: str = PLAIN
    root: bool = False
    ours: bool = False
    hidden: bool = False
    experiment: str = ""

    @property
    def prefix(self) -> str:
        """The prefix of its lines on standard error: its last word."""
        return self.name.rsplit(" ", 1)[-1]


def _run_flags() -> Sequence[Flag]:
    from .podflags import RUN

    return RUN


def _prepare_flags() -> Sequence[Flag]:
    from .podflags import PREPARE

    return PREPARE


def _run_prepared_flags() -> Sequence[Flag]:
    from .podflags import RUN_PREPARED

    return RUN_PREPARED


def _fetch_flags() -> Sequence[Flag]:
    from .podflags import FETCHING, SIGNATURE

    return (_FULL, *FETCHING, SIGNATURE, DRY_RUN)


def _enter_flags() -> Sequence[Flag]:
    from .enterflags import ENTER

    return ENTER


def _sandbox_flags() -> Sequence[Flag]:
    from .appflags import SANDBOX

    return SANDBOX


def _add_flags() -> Sequence[Flag]:
    from .appflags import ADD

    return ADD


_THE_APP = Flag("app", "APP", "the app; it must be given")
_HOLD = Flag("hold", "SECONDS", "how long the pod then stays without an app")
_FORCE = Flag("force", "", "kill at once", bare="true")
_EXPERIMENT = "RKT_EXPERIMENT_APP"
_IMAGE_GRAMMAR = "IMAGE [image flags] [-- ARGUMENTS] [--- IMAGE ...]"
_APPS = (
    Command(
        "app add",
        "UUID IMAGE [image flags] [-- ARGUMENTS]",
        "prepare an app in a running pod, of an image in the store",
        "apps",
        _add_flags,
        reads=IMAGES,
        root=True,
        experiment=_EXPERIMENT,
    ),
    Command(
        "app list", "UUID", "list the apps of a pod", "pods", lambda: (_NO_LEGEND,), experiment=_EXPERIMENT
    ),
    Command(
        "app rm",
        "UUID --app=APP",
        "remove an app from a pod, and stop it before",
        "app_entries",
        lambda: (_THE_APP,),
        root=True,
        experiment=_EXPERIMENT,
    ),
    Command(
        "app sandbox",
        "",
        "run a pod without apps, which stays",
        "apps",
        _sandbox_flags,
        root=True,
        experiment=_EXPERIMENT,
    ),
    Command(
        "app start",
        "UUID --app=APP",
        "start an app of a running pod",
        "app_entries",
        lambda: (_THE_APP,),
        root=True,
        experiment=_EXPERIMENT,
    ),
    Command(
        "app status",
        "UUID --app=APP",
        "tell how an app is",
        "pods",
        lambda: (_THE_APP, _FORMAT),
        experiment=_EXPERIMENT,
    ),
    Command(
        "app stop",
        "UUID --app=APP",
        "stop an app of a running pod",
        "app_entries",
        lambda: (_THE_APP,),
        root=True,
        experiment=_EXPERIMENT,
    ),
)
COMMANDS = (
    *_APPS,
    Command(
        "attach",
        "[--app=APP] [--mode=MODE] UUID",
        "attach to the input and output of an app",
        "attach",
        lambda: (_APP, _MODE),
        root=True,
        experiment="RKT_EXPERIMENT_ATTACH",
    ),
    Command("cat-manifest", "UUID", "print the manifest of a pod", "pods", lambda: (_PRETTY, _UUID_FILE)),
    Command("completion", "SHELL", "print a completion script for a shell", "about"),
    Command("config", "", "print the configuration", "about", lambda: (_PRETTY, _SECRETS)),
    Command(
        "cp",
        "[POD:[APP:]]PATH|- [POD:[APP:]]PATH|-",
        "copy files from the root of an app, or into it; - is an archive",
        "copy",
        lambda: _CP,
        root=True,
        ours=True,
    ),
    Command(
        "enter",
        "[--app=APP] UUID [COMMAND ...]",
        "run a command in a running pod, with the privileges and limits of the app",
        "enter",
        _enter_flags,
        reads=FIRST_ENDS,
        root=True,
    ),
    Command(
        "export",
        "[--app=APP] UUID FILE",
        "write the root of an app of a pod that has ended into a file, as an image",
        "export",
        lambda: (_APP, _OVERWRITE, _EXPORT_FORMAT),
        root=True,
    ),
    Command("fetch", "IMAGE ...", "get images into the store", "images", _fetch_flags, reads=IMAGES_ONLY),
    Command("gc", "", "remove what is left of pods", "collect", lambda: _GC, root=True),
    Command("image cat-manifest", "IMAGE", "print the manifest of an image", "images", lambda: (_PRETTY,)),
    Command(
        "image export",
        "IMAGE FILE",
        "write an image into a file, as an ACI",
        "image_files",
        lambda: (_OVERWRITE,),
        root=True,
    ),
    Command(
        "image extract",
        "IMAGE DIRECTORY",
        "write the files of an image into a directory, without those of its dependencies",
        "image_files",
        lambda: (_OVERWRITE, _ROOTFS_ONLY),
        root=True,
    ),
    Command("image gc", "", "remove images and trees that nothing needs", "images", lambda: _IMAGE_GC),
    Command("image list", "", "list the images in the store", "images", lambda: _IMAGE_LIST),
    Command(
        "image load",
        "FILE|-",
        "get the docker images of an archive into the store, under their names",
        "image_files",
        lambda: (_FULL, DRY_RUN),
        root=True,
        ours=True,
    ),
    Command(
        "image render",
        "IMAGE DIRECTORY",
        "write the files of an image into a directory, as an app sees them",
        "image_files",
        lambda: (_OVERWRITE, _ROOTFS_ONLY),
        root=True,
    ),
    Command("image rm", "IMAGE ...", "remove images from the store", "images", lambda: (DRY_RUN,)),
    Command(
        "image save",
        "IMAGE ...",
        "write docker images into one archive, for image load and for other tools",
        "image_files",
        lambda: (_OUTPUT, _OVERWRITE),
        root=True,
        ours=True,
    ),
    Command(
        "image verify",
        "IMAGE ...",
        "check that images are stored as they came, and mend what is not",
        "image_files",
        root=True,
    ),
    Command("list", "", "list pods", "pods", lambda: _LIST),
    Command("logs", "UUID", "print what apps have said", "logs", lambda: _LOGS, ours=True),
    Command(
        "mend", "UUID", "stage1: make again what a pod has lost", "start", root=True, ours=True, hidden=True
    ),
    Command(
        "metadata-service",
        "",
        "serve metadata to the pods that are registered",
        "metadata",
        lambda: _METADATA,
    ),
    Command(
        "pause",
        "[--uuid-file=FILE | UUID ...]",
        "hold the apps of pods still",
        "pause",
        lambda: (_UUID_FILE,),
        root=True,
        ours=True,
    ),
    Command("prepare", _IMAGE_GRAMMAR, "prepare a pod", "run", _prepare_flags, reads=IMAGES, root=True),
    Command("reap", "NAME", "tidy up after a named pod", "start", root=True, ours=True, hidden=True),
    Command(
        "remove-app",
        "UUID",
        "stage1: end an app, and forget it",
        "app_entries",
        lambda: (_THE_APP, _HOLD),
        root=True,
        ours=True,
        hidden=True,
    ),
    Command("rehearse", "UUID", "stage1: try a start", "start", root=True, ours=True, hidden=True),
    Command(
        "rm", "UUID ...", "remove pods that do not run", "collect", lambda: (_UUID_FILE, DRY_RUN), root=True
    ),
    Command("run", _IMAGE_GRAMMAR, "run a pod", "run", _run_flags, reads=IMAGES, root=True),
    Command("run-prepared", "UUID", "run a pod that is prepared", "start", _run_prepared_flags, root=True),
    Command("stage1-gc", "UUID", "stage1: tidy up after a pod", "start", root=True, ours=True, hidden=True),
    Command(
        "start-app",
        "UUID",
        "stage1: start an app",
        "app_entries",
        lambda: (_THE_APP, _HOLD),
        root=True,
        ours=True,
        hidden=True,
    ),
    Command(
        "start", "NAME", "start a named pod, and return", "start", lambda: (DRY_RUN,), root=True, ours=True
    ),
    Command("status", "[--uuid-file=FILE | UUID]", "tell how a pod is", "pods", lambda: _STATUS),
    Command(
        "stop-app",
        "UUID",
        "stage1: end an app",
        "app_entries",
        lambda: (_THE_APP, _FORCE, _HOLD),
        root=True,
        ours=True,
        hidden=True,
    ),
    Command(
        "stop",
        "[--uuid-file=FILE | UUID ...]",
        "stop pods",
        "stop",
        lambda: (_UUID_FILE, Flag("force", "", "kill at once", bare="true"), DRY_RUN),
    ),
    Command(
        "trust",
        "[KEY ...]",
        "trust the keys of files or URLs to sign images, or decide about docker images",
        "trust",
        lambda: _TRUST,
    ),
    Command(
        "unpause",
        "[--uuid-file=FILE | UUID ...]",
        "let the apps of paused pods go on",
        "pause",
        lambda: (_UUID_FILE,),
        root=True,
        ours=True,
    ),
    Command("version", "", "print versions", "about"),
)


def enabled() -> list[Command]:
    """The commands that there are, with those of the experiments that the caller's variables ask for."""
    return [each for each in COMMANDS if not each.experiment or is_true(os.environ.get(each.experiment, ""))]


def experiment_of(word: str) -> str:
    """The variable that enables the commands with this first word, "" where they need no variable."""
    return next((each.experiment for each in COMMANDS if each.name.split(" ")[0] == word), "")


def find_command(words: Sequence[str]) -> tuple[Command | None, int]:
    """The command that words begin with, abbreviated or not, and how many words name it; None if no command matches.

    Source: behaviours A1.
    """
    for count in (2, 1):
        if count <= len(words):
            found = _named(tuple(words[:count]))
            if found:
                return found, count
    return None, 0


def _named(words: tuple[str, ...]) -> Command | None:
    same_length = [command for command in enabled() if len(command.name.split(" ")) == len(words)]
    exact = [command for command in same_length if command.name == " ".join(words)]
    if exact:
        return exact[0]
    for ours in (False, True):
        found = [command for command in same_length if command.ours is ours and _abbreviates(words, command)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _abbreviates(words: tuple[str, ...], command: Command) -> bool:
    return all(full.startswith(word) for word, full in zip(words, command.name.split(" ")))
