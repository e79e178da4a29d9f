# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flags of the commands that prepare and run pods: those of options, and those of command lines only.

Source: behaviours A.3 and A.4.
"""

from __future__ import annotations

import os

from ..errors import InvalidSpec
from ..stage0.options import texts
from ..stage0.options.app import APP
from ..stage0.options.option import Options, value_of
from ..stage0.options.pod import FETCH, POD
from ..stage1.plan.stdio import NAMES as STDIO_NAMES
from ..stage1.plan.stdio import check_mode
from . import values
from .flags import DRY_RUN, EITHER, IMAGE, Flag, is_true
from .flags import POD as ANY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ..stage0.options.option import AsFlag, Option

STAGE1 = ("stage1-url", "stage1-path", "stage1-name", "stage1-hash", "stage1-from-dir")
PULL = FETCH[0]
_SHARED = {row.flag.name for row in POD if row.flag} & {row.flag.name for row in APP if row.flag}


def flags(rows: Iterable[Option], scope: str, *, running: bool = False) -> Iterator[Flag]:
    """The flags of options that have one, with this scope."""
    for row in rows:
        flag = row.flag
        if flag and flag.help and flag.running is running:
            whose = EITHER if flag.name in _SHARED else scope
            judge = None if flag.late else _judge(row, flag)
            yield Flag(flag.name, flag.value, flag.help, flag.bare, whose, judge, flag.once)
            for name in flag.also:
                told = f"another name of --{flag.name}"
                yield Flag(name, flag.value, told, flag.bare, whose, judge, flag.once, flag.name)


def _judge(row: Option, flag: AsFlag) -> Callable[[str], object]:
    """The parser of a flag, which refuses an invalid value with rkt's words."""

    def judge(text: str) -> object:
        try:
            return value_of(row, Options({row.name: texts.of_flag(row, (text,))}, "", (row,)))
        except InvalidSpec as err:
            reason = flag.wrong.replace("{}", text) + (err.on_argv or err.reason)
            raise InvalidSpec(reason, err.hint) from err

    return judge


SIGNATURE = Flag("signature", "FILE", "a detached signature of the image before it", scope=IMAGE, once=True)


def _mode(name: str) -> Callable[[str], object]:
    return lambda mode: check_mode(name, mode)


# Source: behaviours A8.
_STDIO = (
    Flag(name, "MODE", f"what {name} of the app is", scope=IMAGE, parse=_mode(name), hidden=True)
    for name in (STDIO_NAMES if is_true(os.environ.get("RKT_EXPERIMENT_ATTACH", "")) else ())
)
# Flags that may follow an image.
PER_IMAGE = (
    SIGNATURE,
    *flags(APP, IMAGE),
    *_STDIO,
    Flag("annotation", "KEY=VALUE", "an annotation of the app", scope=IMAGE, parse=values.parse_annotation),
)

FETCHING = (
    *flags((PULL,), ANY),
    Flag("store-only", "", "another name of --pull-policy=never", bare="true"),
    Flag("no-store", "", "another name of --pull-policy=update", bare="true"),
)

# Flags that prepare and run share.
PREPARING = (
    *flags((row for row in POD if row.flag and row.flag.name not in _SHARED), ANY),
    Flag("inherit-env", "", "give the caller's variables to apps that do not set them", bare="true"),
    Flag("pod-manifest", "FILE", "take the whole pod from this manifest; its images must be in the store"),
    *FETCHING,
    *PER_IMAGE,
)

# Flags that run and run-prepared share.
RUNNING = (
    *flags(POD, ANY, running=True),
    Flag("interactive", "", "connect the app to this terminal", bare="true"),
)

UUID_FILE_SAVE = Flag("uuid-file-save", "FILE", "write the pod's UUID into this file as soon as there is one")
DETACH = Flag("detach", "", "return once the apps have been started", bare="true")
QUIET = Flag("quiet", "", "print nothing but the UUID", bare="true")

PREPARE = (*PREPARING, QUIET, DRY_RUN)
RUN = (*PREPARING, *RUNNING, UUID_FILE_SAVE, DRY_RUN)
RUN_PREPARED = (*RUNNING, DETACH)
