# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command lines as values: the known flags, and those that were given. Pure.

The rules are those of the flag library that rkt used: --NAME=VALUE or --NAME VALUE; a flag that may be without a value
does not take one from the next word.
"""

from __future__ import annotations

from ..errors import InvalidSpec
from ..stage0.options.texts import parse_bool
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# The scope of a flag: the whole pod, the last image before it, or either.
POD, IMAGE, EITHER = "pod", "image", "either"
HELP = ("-h", "--help")


class UsageError(InvalidSpec):
    """A command line that cannot be read; usage is shown with it. Source: behaviours A2."""

    kind = "usage"


class Flag(Value):
    """A flag.

    value: the placeholder of its value in the help, "" for a boolean. bare: its value if none is given, None when it
    needs one. parse raises InvalidSpec for an invalid value. once: at most one for each image. means: the flag that
    it is another name of. hidden: not in the help.
    """

    name: str
    value: str
    help: str
    bare: str | None = None
    scope: str = POD
    parse: Callable[[str], object] | None = None
    once: bool = False
    means: str = ""
    hidden: bool = False


DRY_RUN = Flag("dry-run", "", "print what would change, and change nothing", bare="true")


class Given(Value):
    """A flag on a command line."""

    name: str
    value: str


class FlagValues:
    """The flags on a command line, by name. Where only one counts, it is the last."""

    def __init__(self, given: Iterable[Given] = ()) -> None:
        self._values: dict[str, tuple[str, ...]] = {}
        for flag in given:
            self._values[flag.name] = (*self._values.get(flag.name, ()), flag.value)

    def has(self, name: str) -> bool:
        """Whether the flag was given."""
        return name in self._values

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of the flag, in order."""
        return self._values.get(name, ())

    def text(self, name: str, default: str = "") -> str:
        """The last value of the flag."""
        return self._values.get(name, (default,))[-1]

    def on(self, name: str, default: bool = False) -> bool:
        """The last value of a boolean flag."""
        return parse_bool(self._values[name][-1]) if name in self._values else default


class AppWords(Value):
    """An image on the command line, the flags that followed it and its arguments."""

    image: str
    given: tuple[Given, ...] = ()
    args: tuple[str, ...] = ()

    @property
    def options(self) -> FlagValues:
        """The flags of this image."""
        return FlagValues(self.given)


class Words(Value):
    """A parsed command line. arguments: the words that are neither flags nor images."""

    given: tuple[Given, ...] = ()
    arguments: tuple[str, ...] = ()
    apps: tuple[AppWords, ...] = ()

    @property
    def options(self) -> FlagValues:
        """The flags that belong to no image."""
        return FlagValues(self.given)


class FlagSet:
    """The flags that a command knows."""

    def __init__(self, flags: Iterable[Flag]) -> None:
        self._flags = {flag.name: flag for flag in flags}

    def read(self, words: Sequence[str], at: int) -> tuple[Flag, Given, int]:
        """The flag at words[at], its value, and the index after it. Raises UsageError."""
        word = words[at]
        name, equals, value = word[2:].partition("=")
        if not word.startswith("--"):
            raise UsageError(f"unknown shorthand flag: {word[1:2]!r} in {word}")
        flag = self._flags.get(name)
        if flag is None:
            meant = similar(name, self._flags)
            raise UsageError(f"unknown flag: --{name}" + (f"; did you mean --{meant}?" if meant else ""))
        if not equals and flag.bare is not None:
            value = flag.bare
        elif not equals:
            at += 1
            if at == len(words):
                raise UsageError(f"flag needs an argument: --{name}")
            value = words[at]
        _check(flag, value)
        return flag, Given(flag.means or name, value), at + 1

    def parse(self, words: Sequence[str], *, first_ends: bool = False) -> Words:
        """Flags and arguments in any order; "--" ends the flags, and so does the first argument if first_ends."""
        given: list[Given] = []
        arguments: list[str] = []
        at = 0
        while at < len(words):
            word = words[at]
            if word == "--":
                arguments += words[at + 1 :]
                break
            if is_flag(word):
                _flag, found, at = self.read(words, at)
                given.append(found)
            elif first_ends:
                arguments += words[at:]
                break
            else:
                arguments.append(check_text(word, "an argument"))
                at += 1
        return Words(tuple(given), tuple(arguments))

    def parse_images(self, words: Sequence[str], *, app_arguments: bool = True) -> Words:
        """FLAGS IMAGE [flags of the image] [-- ARGUMENTS] [--- IMAGE ...]. Source: behaviours A11 to A13.

        Raises UsageError for flags before the first image, and InvalidSpec with rkt's words after it.
        """
        walk = _ImageWalk(self, words, app_arguments)
        walk.leading_flags()
        try:
            walk.images()
        except InvalidSpec as err:
            wrapping = "error parsing app image arguments" if app_arguments else "unable to parse arguments"
            raise InvalidSpec(f"{wrapping}: {err.reason}", err.hint) from err
        return Words(tuple(walk.given), (), tuple(walk.apps))


class _ImageWalk:
    """The token by token walk of parse_images."""

    def __init__(self, flags: FlagSet, words: Sequence[str], app_arguments: bool) -> None:
        self.given: list[Given] = []
        self.apps: list[AppWords] = []
        self._flags = flags
        self._words = words
        self._app_arguments = app_arguments
        self._at = 0
        self._with_args = 0

    def leading_flags(self) -> None:
        """The flags before the first image."""
        while self._at < len(self._words) and is_flag(self._words[self._at]):
            self._flag()

    def images(self) -> None:
        """Images, their flags and their arguments, to the end."""
        while self._at < len(self._words):
            word = self._words[self._at]
            if word == "--":
                self._arguments()
            elif is_flag(word) and word != "---":
                self._flag()
            else:
                self._at += 1
                if word not in ("", "---"):
                    self.apps.append(AppWords(check_text(word, "an image")))

    def _flag(self) -> None:
        flag, given, self._at = self._flags.read(self._words, self._at)
        if flag.scope == POD or (flag.scope == EITHER and not self.apps):
            self.given.append(given)
            return
        if not self.apps:
            raise _invalid(flag, given.value, f"--{flag.name} must follow an image")
        app = self.apps[-1]
        if flag.once and app.options.has(given.name):
            raise InvalidSpec(f"--{flag.name} specified multiple times for the same image")
        self.apps[-1] = app.replace(given=(*app.given, given))

    def _arguments(self) -> None:
        if not self._app_arguments:
            raise InvalidSpec("app arguments unsupported")
        if not self.apps:
            raise InvalidSpec("an image is required before any app arguments")
        if self._with_args == len(self.apps):
            raise InvalidSpec("only one set of app arguments allowed per image")
        self._with_args = len(self.apps)
        rest = list(self._words[self._at + 1 :])
        end = rest.index("---") if "---" in rest else len(rest)
        args = tuple(check_text(word, "an app argument") for word in rest[:end])
        self.apps[-1] = self.apps[-1].replace(args=args)
        self._at += end + 2


def is_flag(word: str) -> bool:
    """Whether a word is read as a flag, unlike "-" alone and the separators of images."""
    return word.startswith("-") and word not in ("-", "--", "---")


def split_command(words: Sequence[str], booleans: Iterable[str]) -> tuple[Sequence[str], Sequence[str]]:
    """The flags before the command, and the words from the command on.

    booleans: the names of the global flags without a value; any other flag without "=" takes the next word with it
    unless that is a flag too. Source: behaviours A3.
    """
    known = {f"--{name}" for name in booleans} | set(HELP)
    at = 0
    while at < len(words) and words[at].startswith("-"):
        word = words[at]
        follows = at + 1 < len(words) and not words[at + 1].startswith("-")
        takes_next = (
            word.startswith("--") and word != "--" and "=" not in word and word not in known and follows
        )
        at += 2 if takes_next else 1
    return words[:at], words[at:]


def is_true(text: str) -> bool:
    """Whether a variable of the environment is true; what is no boolean is not. Source: behaviours A8."""
    try:
        return parse_bool(text)
    except InvalidSpec:
        return False


def is_text(word: str) -> bool:
    """Whether a word of the command line or of the environment was UTF-8. Other bytes come as lone surrogates."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_text(word: str, what: str) -> str:
    """The word if it is text, as the JSON documents of a pod need. Raises InvalidSpec."""
    if not is_text(word):
        raise InvalidSpec(f'"{word}": {what} must be UTF-8')
    return word


def _check(flag: Flag, value: str) -> None:
    if not is_text(value):
        raise _invalid(flag, value, "it must be UTF-8")
    parse = parse_bool if flag.value == "" else flag.parse
    if parse is None:
        return
    try:
        parse(value)
    except InvalidSpec as err:
        raise _invalid(flag, value, err.reason, err.hint) from err


def _invalid(flag: Flag, value: str, reason: str, hint: str = "") -> UsageError:
    return UsageError(f'invalid argument "{value}" for "--{flag.name}" flag: {reason}', hint)


def similar(word: str, names: Iterable[str]) -> str:
    """The name that was probably meant, "" if no name is similar."""
    from difflib import get_close_matches  # only after a mistake

    return next(iter(get_close_matches(word, list(names), 1)), "")
