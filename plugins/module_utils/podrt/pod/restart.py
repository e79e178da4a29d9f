# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The restart policy of an app, and the record of its restarts.

The policy is an annotation of the app in the pod manifest, as text: on-failure:5,backoff=1s,max-backoff=60s. An app
without it is never started again, as in rkt. Source: docker run --restart; systemd.service(5).
"""

from __future__ import annotations

from ..appc.durations import parse_duration
from ..errors import Corrupt, InvalidSpec
from ..host.reading import read_text_or
from ..value import Value
from .runspec import RESTART, RESTART_POLICIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    from ..appc.pod import PodManifest
    from ..host.dirs import PodDir

    Form = dict[str, Union[str, int]]

NO, ALWAYS, UNLESS_STOPPED = "no", "always", "unless-stopped"
# In the line that the supervisor logs before a restart.
RESTART_LINE = ", and is started again in "
# The bytes of the record of restarts, so that it never grows.
RECORD_BYTES = 256
_LEAST, _MOST = 0.01, 86400.0
_MOST_RETRIES = 1_000_000
_MOST_DIGITS = 7
_GRAMMAR = "write POLICY[:RETRIES][,backoff=1s][,max-backoff=60s], such as on-failure:5"


class Restart(Value):
    """When an app is started again after its end.

    max_retries: how many times in a row, 0 for no limit. backoff: seconds before the first of these; each further one
    has twice as many, at most max_backoff. A run as long as that, and of ten seconds, begins count and back-off again.
    """

    policy: str = NO
    max_retries: int = 0
    backoff: float = 1.0
    max_backoff: float = 60.0

    def check(self) -> None:
        """Raise InvalidSpec unless the policy is known and the numbers are in their ranges."""
        if self.policy not in RESTART_POLICIES:
            hint = f"use one of {', '.join(RESTART_POLICIES)}"
            raise InvalidSpec(f'unknown restart policy "{self.policy}"', hint, where="policy")
        if not 0 <= self.max_retries <= _MOST_RETRIES:
            hint = f"use 0, which sets no limit, to {_MOST_RETRIES}"
            raise InvalidSpec(f"{self.max_retries} is out of range", hint, where="max_retries")
        for seconds, where in ((self.backoff, "backoff"), (self.max_backoff, "max_backoff")):
            if not _LEAST <= seconds <= _MOST:
                raise InvalidSpec(f"{_duration(seconds)} is out of range", "use 10ms to 24h", where=where)
        if self.backoff > self.max_backoff:
            raise InvalidSpec(
                f"{_duration(self.backoff)} is more than max_backoff, which is {_duration(self.max_backoff)}",
                "make it less, or max_backoff more",
                where="backoff",
            )

    def __str__(self) -> str:
        retries = f":{self.max_retries}" if self.max_retries else ""
        bounds = f"backoff={_duration(self.backoff)},max-backoff={_duration(self.max_backoff)}"
        return f"{self.policy}{retries},{bounds}"

    @classmethod
    def parse(cls, text: str, where: str = "") -> Restart:
        """Read the text form; what it leaves out has its default. Raises InvalidSpec."""
        form = form_of(text, where)
        try:
            return cls.from_form(form)
        except InvalidSpec as err:
            raise err.at(where) from err

    @classmethod
    def from_form(cls, form: Form) -> Restart:
        """Read the form of users, with durations as text. Raises InvalidSpec."""
        policy, retries = form.get("policy", NO), form.get("max_retries", 0)
        seconds = {
            name: parse_duration(str(form[name]), name) for name in ("backoff", "max_backoff") if name in form
        }
        # Each of them alone is meant as it is.
        if "max_backoff" not in seconds:
            seconds["max_backoff"] = max(cls.max_backoff, seconds.get("backoff", 0))
        seconds.setdefault("backoff", min(cls.backoff, seconds["max_backoff"]))
        return cls(str(policy), retries if isinstance(retries, int) else 0, **seconds)


def form_of(text: str, where: str = "") -> Form:
    """The text form as users write it in YAML. Raises InvalidSpec where it is not that; values are not checked."""
    head, *pairs = text.split(",")
    policy, colon, retries = head.partition(":")
    form: Form = {"policy": policy}
    if colon:
        if not (retries.isascii() and retries.isdigit() and len(retries) <= _MOST_DIGITS):
            raise InvalidSpec(f'"{retries}" is not a number of retries', _GRAMMAR, where=where)
        form["max_retries"] = int(retries)
    for pair in pairs:
        key, _equals, value = pair.partition("=")
        name = key.replace("-", "_")
        if name not in ("backoff", "max_backoff") or not value or name in form:
            raise InvalidSpec(f'cannot read "{pair}" of a restart policy', _GRAMMAR, where=where)
        form[name] = value
    return form


class RestartCounts(Value):
    """The restarts of an app, and its last end: its exit code or signal, if it has ended once.

    Times are seconds since 1970. next_at: of the next start, while it is between two. lost: whether its waiting process
    has ended, so that its next end is the last.
    """

    count: int = 0
    exit_code: int | None = None
    signal: int | None = None
    oom: bool = False
    started_at: float | None = None
    finished_at: float | None = None
    next_at: float | None = None
    lost: bool = False


def read_restarts(pod: PodDir, app: str) -> RestartCounts | None:
    """The record of an app's restarts, None if it has no policy. Raises Corrupt, OSError."""
    text = read_text_or(pod.app_restarts(app), "", RECORD_BYTES, beneath=pod.path)
    if not text:
        return None
    found: dict[str, float] = {}
    for word in text.split():
        name, equals, number = word.partition("=")
        if not (equals and number.isascii() and number.replace(".", "", 1).isdigit()):
            raise Corrupt(f'cannot read the restarts of app "{app}"', path=pod.app_restarts(app))
        found[name] = float(number)
    status = None if "status" not in found else int(found["status"])
    killed = bool(found.get("signal"))
    return RestartCounts(
        int(found.get("restarts", 0)),
        None if killed else status,
        status if killed else None,
        bool(found.get("oom")),
        found.get("started"),
        found.get("finished"),
        found.get("next"),
        bool(found.get("lost")),
    )


def stays_stopped(manifest: PodManifest) -> bool:
    """Whether no boot starts a pod again that its user has stopped: unless-stopped, and no app has always. Pure."""
    texts = [app.annotations.get(RESTART) or NO for app in manifest.apps]
    policies = {text.partition(",")[0].partition(":")[0] for text in texts}
    return UNLESS_STOPPED in policies and ALWAYS not in policies


def _duration(seconds: float) -> str:
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"
