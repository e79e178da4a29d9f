# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl: finds the command, reads its flags, calls it, and reports errors. Source: behaviours A1 to A7."""

from __future__ import annotations

import io
import os
import sys

from ..errors import HostFailure, InvalidSpec, PodError, hint_for_errno, reason_of
from ..host.host import Host, find_paths
from .call import PROGRAM, Call, complain, say, write_error
from .flags import HELP, FlagSet, FlagValues, UsageError, similar, split_command
from .table import FIRST_ENDS, GLOBAL, IMAGES, IMAGES_ONLY, enabled, experiment_of, find_command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from .flags import Words
    from .table import Command

FAILURE = 254
_NO_COMMAND = 2
_INTERRUPTED = 130
_PIPE_CLOSED = 141
# A bug keeps its traceback: users cannot act on it.
_BUG = 1
_DEBUG_HINT = "--debug shows where"


def main(argv: Sequence[str]) -> NoReturn:
    """Run podctl and end the process, without the slow shutdown of the interpreter."""
    _open_standard_streams()
    try:
        status = _written(invoke(argv))
    except KeyboardInterrupt:
        status = _INTERRUPTED
    except BrokenPipeError:
        status = _PIPE_CLOSED
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = _BUG
    _flush()
    os._exit(status)


def load(argv: Sequence[str]) -> None:
    """Load what main needs to run podctl with these words, as far as that is known before it does."""
    words = _split(argv)[1]
    command = find_command(words)[0] if words else None
    if command:
        entry(command)


def _open_standard_streams() -> None:
    """Open descriptors 0 to 2 where the caller closed them: else a file of a pod would get such a number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # takes the lowest free number, which is this one
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        # JSON is UTF-8 in any locale, and half a character is no reason to fail without a message.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _written(status: int) -> int:
    """Flush the result and return the status. Raises BrokenPipeError."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as err:
        complain(PROGRAM, HostFailure(f"cannot write the result: {reason_of(err)}"), debug=False)
        return FAILURE
    return status


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            continue


def invoke(argv: Sequence[str]) -> int:
    """Run podctl; returns its exit status."""
    before, words = _split(argv)
    if not words:
        return _without_command(before)
    if words[0] == "help":
        return _help(words[1:])
    command, count = find_command(words)
    if command is None:
        return _unknown(words)
    rest = (*before, *words[count:])
    if _asks_for_help(command, rest):
        return _help(command.name.split(" "))
    return _perform(command, rest)


def _split(argv: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    return split_command(argv, (flag.name for flag in GLOBAL if flag.bare is not None))


def _perform(command: Command, words: Sequence[str]) -> int:
    debug = "--debug" in words
    try:
        if command.root and os.geteuid() != 0:
            say(command.prefix, "cannot run as unprivileged user")
            return FAILURE
        read = _read(command, words)
        if not command.arguments and read.arguments:
            raise UsageError(f"{command.name} takes no arguments")
        debug = read.options.on("debug")
        return entry(command)(Call(command.prefix, read, host_of(read.options)))
    except UsageError as err:
        from .help import usage

        write_error(f"Error: {err.message}\n{usage(command)}")
        return err.exit_code
    except PodError as err:
        complain(command.prefix, err, debug=debug)
        return err.exit_code
    except BrokenPipeError:
        raise
    except OSError as err:
        # No function below expected it, but a full disk or a missing privilege is not a bug of podctl.
        if debug:
            raise
        complain(
            command.prefix,
            HostFailure.of("the operating system refused", err, hint_for_errno(err) or _DEBUG_HINT),
            debug=False,
        )
        return FAILURE


def entry(command: Command) -> Callable[[Call], int]:
    """The function of a command; only its own family is imported."""
    if command.family == "run":
        from .commands.run import ENTRIES
    elif command.family == "start":
        from .commands.start import ENTRIES
    elif command.family == "pods":
        from .commands.pods import ENTRIES
    elif command.family == "stop":
        from .commands.stop import ENTRIES
    elif command.family == "collect":
        from .commands.collect import ENTRIES
    elif command.family == "enter":
        from .commands.enter import ENTRIES
    elif command.family == "logs":
        from .commands.logs import ENTRIES
    elif command.family == "app_entries":
        from .commands.app_entries import ENTRIES
    elif command.family == "about":
        from .commands.about import ENTRIES
    else:
        return _entry_of_files(command)
    return ENTRIES[command.name]


def _entry_of_files(command: Command) -> Callable[[Call], int]:
    if command.family == "apps":
        from .commands.apps import ENTRIES
    elif command.family == "attach":
        from .commands.attach import ENTRIES
    elif command.family == "copy":
        from .commands.copy import ENTRIES
    elif command.family == "export":
        from .commands.export import ENTRIES
    elif command.family == "metadata":
        from .commands.metadata import ENTRIES
    elif command.family == "pause":
        from .commands.pause import ENTRIES
    else:
        return _entry_of_images(command)
    return ENTRIES[command.name]


def _entry_of_images(command: Command) -> Callable[[Call], int]:
    if command.family == "images":
        from .commands.images import ENTRIES
    elif command.family == "image_files":
        from .commands.image_files import ENTRIES
    else:
        from .commands.trust import ENTRIES
    return ENTRIES[command.name]


def _read(command: Command, words: Sequence[str]) -> Words:
    flags = FlagSet((*GLOBAL, *command.flags()))
    if command.reads in (IMAGES, IMAGES_ONLY):
        return flags.parse_images(words, app_arguments=command.reads == IMAGES)
    return flags.parse(words, first_ends=command.reads == FIRST_ENDS)


def host_of(options: FlagValues) -> Host:
    """This machine, with the directories that the flags and the configuration name. Source: behaviours A.2."""
    if options.has("dir") and not options.text("dir"):
        raise InvalidSpec("--dir must not be empty", "name the data directory")
    return Host.here(
        find_paths(
            options.text("dir"),
            options.text("local-config"),
            options.text("system-config"),
            options.text("user-config"),
        )
    )


def _asks_for_help(command: Command, words: Sequence[str]) -> bool:
    """Whether one of podctl's own words is --help, not one of an app's."""
    own = list(words)
    if command.reads == FIRST_ENDS:
        own = own[: next((at for at, word in enumerate(own) if not word.startswith("-")), len(own))]
    if "--" in own:
        own = own[: own.index("--")]
    return any(word in HELP for word in own)


def _without_command(before: Sequence[str]) -> int:
    from .help import overview

    if any(word in HELP for word in before):
        sys.stdout.write(overview())
        return 0
    if "--version" in before:
        return invoke([*(word for word in before if word != "--version"), "version"])
    try:
        FlagSet(GLOBAL).parse(before)
    except UsageError as err:
        write_error(f"Error: {err.message}\n{overview()}")
        return err.exit_code
    write_error(f"{overview()}\nmissing command\n")
    return _NO_COMMAND


def _help(words: Sequence[str]) -> int:
    from .help import manual, overview

    command, _count = find_command(words)
    if words and command is None:
        return _unknown(words)
    sys.stdout.write(manual(command) if command else overview())
    return 0


def _unknown(words: Sequence[str]) -> int:
    existing = [command.name.split(" ") for command in enabled()]
    group = words[0] if any(len(name) > 1 and name[0] == words[0] for name in existing) else ""
    if group and len(words) == 1:
        from .help import overview

        sys.stdout.write(overview(group=f"{group} "))
        return 0
    word, program = (words[1], f"{PROGRAM} {group}") if group else (words[0], PROGRAM)
    meant = similar(word, [name[-1] for name in existing if name[:-1] == ([group] if group else [])])
    suggestion = f"\nDid you mean this?\n\t{meant}\n\n" if meant else ""
    write_error(
        f'Error: unknown command "{word}" for "{program}"\n{suggestion}Run \'{program} --help\' for usage.\n'
    )
    variable = "" if group else experiment_of(word)
    if variable:
        say(PROGRAM, f"hint: {variable}=true in the environment enables it")
    return FAILURE
