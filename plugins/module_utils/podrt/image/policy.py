# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When images are fetched from the network, and which checks are waived. Source: behaviours A10, B.4."""

from __future__ import annotations

from ..errors import InvalidSpec
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .openpgp import OfferedKeys

    # Whether the first of these keys may sign the images of a prefix.
    Review = Callable[[str, OfferedKeys], bool]

PULLS = ("never", "new", "update")
_FETCH = ("image", "tls", "http", "pubkey")
_RUN = ("capabilities", "paths", "seccomp")
_GROUPS = {
    "none": (),
    "all-fetch": _FETCH,
    "all-run": _RUN,
    "all": ("image", "tls", "ondisk", "http", "pubkey", *_RUN),
}
INSECURE_OPTIONS = ("none", "image", "tls", "ondisk", "http", "pubkey", *_RUN, "all-fetch", "all-run", "all")


class FetchPolicy(Value):
    """The policy of a fetch. pull: one of PULLS. insecure: the waived checks, as parse_insecure returns them.

    signature: the path or the URL of the detached signature, "" for where the source has it. finds_keys: whether keys
    are trusted that discovery finds for the name of an image, and that TLS vouches for (B29). review: asks the user
    about the others, None where no user can answer. anyway: whether an image is fetched though the store has it.
    """

    pull: str = "new"
    insecure: tuple[str, ...] = ()
    signature: str = ""
    finds_keys: bool = False
    review: Review | None = None
    anyway: bool = False

    def check(self) -> None:
        """Raise InvalidSpec for an unknown word."""
        if self.pull not in PULLS:
            raise InvalidSpec(f'unknown pull policy "{self.pull}"', "use never, new or update", where="pull")
        for option in self.insecure:
            _check_option(option, "insecure_options")

    @property
    def may_find_keys(self) -> bool:
        """Whether discovery may lead to keys that are trusted."""
        return self.finds_keys or self.review is not None

    def waives(self, check: str) -> bool:
        """Whether a check is waived: image, tls, http or pubkey."""
        return check in self.insecure


def parse_insecure(text: str, where: str = "") -> tuple[str, ...]:
    """The checks that a comma-separated list such as "image,TLS" or "all-fetch" waives, groups expanded, sorted.

    Raises InvalidSpec for an unknown or a repeated word.
    """
    seen: list[str] = []
    for word in filter(None, (part.strip().lower() for part in text.split(","))):
        _check_option(word, where)
        if word in seen:
            raise InvalidSpec(f'duplicated option "{word}"', where=where)
        seen.append(word)
    return tuple(sorted({option for word in seen for option in _GROUPS.get(word, (word,))}))


def _check_option(word: str, where: str) -> None:
    if word not in INSECURE_OPTIONS:
        raise InvalidSpec(
            f'unknown option "{word}"', f"use a list of {', '.join(INSECURE_OPTIONS)}", where=where
        )


class Note(str):
    """A line of the progress of a fetch that the user should see, wherever the other lines go."""
