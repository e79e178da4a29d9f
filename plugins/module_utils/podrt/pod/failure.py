# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reason why a pod failed: the document that an entry of stage1 writes, and the error that stage0 makes of it.

It is beside the statuses of the apps, where no app can write, and replaces text that would have to be parsed. An entry
of release 0.1.0 writes none. docs/devel/stage1-contract.md describes it.
"""

from __future__ import annotations

import os
import time

from ..contexts import suppress
from ..errors import AppFailed, Corrupt, InvalidSpec, of_kind
from ..fields import Fields, canonical_json, parse_json
from ..host.files import path_beneath, write_atomically
from ..host.reading import read_bytes
from . import documents
from .logs import last_lines
from .restart import RESTART_LINE, read_restarts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..errors import PodError
    from ..host.dirs import PodDir

_FORMAT = 1
_DIR, _FILE = 0o755, 0o644
_TAIL = 20
_LONGEST = 4096
# Facts that the document has members for: name in facts, name in the document.
_MEMBERS = {
    "app": "app",
    "exit_code": "exitCode",
    "signal": "signal",
    "oom": "oom",
    "last_lines": "lastLines",
    "stage": "stage",
}


def record_failure(pod: PodDir, err: PodError, stage: str) -> None:
    """Record why an entry of stage1 failed. If that fails too, its printed error has to do.

    stage: the failed one of prepare, rehearse, start, run, stop or gc.
    """
    app = err.facts.get("app")
    facts = {"stage": stage, **(lines_of(pod, app) if isinstance(app, str) else {}), **err.facts}
    document = {
        "format": _FORMAT,
        "kind": err.kind,
        "message": _clean(err.message),
        "hint": _clean(err.hint),
        **{member: facts.pop(name) for name, member in _MEMBERS.items() if name in facts},
        "facts": {
            name: _clean(value) if isinstance(value, str) else value
            for name, value in facts.items()
            if isinstance(value, (str, int))
        },
    }
    with suppress(OSError, Corrupt):
        # The pod's directory may be on its way out: no parents are created.
        with (
            path_beneath(os.path.dirname(pod.failure), pod.path) as path,
            suppress(FileExistsError),
        ):
            os.mkdir(path, _DIR)
        with path_beneath(pod.failure, pod.path) as path:
            write_atomically(path, canonical_json(document), _FILE)


def forget(pod: PodDir) -> None:
    """Remove the document of an earlier entry, before the next is called."""
    with suppress(OSError, Corrupt), path_beneath(pod.failure, pod.path) as path:
        os.unlink(path)


def read(pod: PodDir) -> PodError | None:
    """The error that the last entry has recorded; None if there is no valid document."""
    try:
        return _error_of(
            Fields(parse_json(read_bytes(pod.failure, beneath=pod.path), pod.failure), "failure")
        )
    except (OSError, InvalidSpec, Corrupt):
        return None


def app_failure(pod: PodDir, name: str, apps: Iterable[str]) -> AppFailed | None:
    """The error of the first of these apps that has failed, with its last lines; None if no app has.

    name: of the pod, for the message.
    """
    for app in apps:
        ending = documents.read_ending(pod, app)
        if ending and ending.exit_code != 0:
            return _failed(pod, name, app, ending)
    return None


def _failed(pod: PodDir, name: str, app: str, ending: documents.Ending) -> AppFailed:
    said = lines_of(pod, app)
    facts: dict[str, object] = {"app": app, "stage": "run", **said}
    if ending.signal is None:
        facts["exit_code"] = ending.exit_code
        how, hint = f"has ended with status {ending.exit_code}", ""
    else:
        facts["signal"] = ending.signal
        how, hint = f"was ended by signal {ending.signal}", ""
    if ending.oom:
        facts["oom"] = True
        how, hint = f"{how}: it has used more memory than it may", "raise its memory limit"
    if ending.late:
        how = f"{how}, since it had not come up in time"
    last = f": {said['last_lines'][-1]}" if said else ""
    return AppFailed(f'app "{app}" of pod "{name}" {how}{last}', hint, **facts)


def restarted_app(pod: PodDir, name: str, apps: Iterable[str]) -> AppFailed | None:
    """The error of the first of these apps that has failed and was, or will be, started again; None if none has.

    name: of the pod, for the message.
    """
    for app in apps:
        found = read_restarts(pod, app)
        if found and (found.exit_code or found.signal):
            ending = documents.Ending(found.exit_code or found.signal or 0, found.signal, oom=found.oom)
            err = _failed(pod, name, app, ending)
            err.message = f"{err.message} (restarts: {found.count})"
            err.facts["restarts"] = found.count
            return err
    return None


def lines_of(pod: PodDir, app: str) -> dict[str, list[str]]:
    """The fact last_lines of an app: those of stderr if it has any, else of stdout; no fact without output.

    The log of an app that was replaced goes on with the new one's: what the old one said is no reason.
    """
    try:
        last = last_lines(pod, app, _TAIL, _begun(pod, app))
    except (OSError, Corrupt):
        return {}
    lines = _of_app(last["stderr_lines"]) or last["stdout_lines"]
    return {"last_lines": [_clean(line) for line in lines]} if lines else {}


def _begun(pod: PodDir, app: str) -> str:
    """When the app was started by the host, as LogLine.time, "" if that is not known."""
    begun = documents.time_of(pod.app_env(app))
    if begun is None:
        return ""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(begun)) + f"{begun % 1:.6f}"[1:]


def _of_app(lines: list[str]) -> list[str]:
    """The lines without those that the supervisor writes before each restart, which say nothing of the reason."""
    return [line for line in lines if RESTART_LINE not in line]


def _clean(text: str) -> str:
    """A text that a document can hold."""
    return text[:_LONGEST].replace("\0", "\ufffd").encode(errors="replace").decode()


def _error_of(fields: Fields) -> PodError:
    extra = fields.raw("facts")
    facts: dict[str, object] = {
        str(name): value
        for name, value in (extra.items() if isinstance(extra, dict) else ())
        if isinstance(value, (str, int))
    }
    members: dict[str, object] = {
        "app": fields.optional_text("app"),
        "exit_code": fields.optional_integer("exitCode"),
        "signal": fields.optional_integer("signal"),
        "oom": fields.optional_boolean("oom"),
        "last_lines": list(fields.strings("lastLines")) or None,
        "stage": fields.text("stage"),
    }
    facts.update({name: value for name, value in members.items() if value is not None})
    return of_kind(fields.text("kind"), fields.text("message"), fields.text("hint", ""), **facts)
