# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods as arguments: by UUID, UUID prefix or name. Source: behaviours A64, D5."""

from __future__ import annotations

from ..contexts import contextmanager
from ..errors import HostFailure, InvalidSpec, NotFound, PodError
from ..host.reading import read_text
from ..pod import documents, lookup
from ..pod.names import is_uuid
from .call import write_error
from .flags import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..pod.lifecycle import Pod
    from .call import Call

# A task that converges the pod may wait for a download; a user of podctl does not wait for that.
NAME_SECONDS = 60.0
# Of rkt's commands for apps, all but add.
_OF_APPS = 1


@contextmanager
def status_of_apps() -> Iterator[None]:
    """Give errors the exit status that they have in rkt's commands for apps; a flag that cannot be read has another."""
    try:
        yield
    except PodError as err:
        err.exit_code = _OF_APPS
        raise


def only_argument(call: Call, what: str) -> str:
    """The one argument of the command, or the UUID in --uuid-file. Raises UsageError."""
    found = _arguments(call)
    if len(found) != 1:
        raise UsageError(f"{call.prefix} takes one {what}, not {len(found)}")
    return found[0]


def some_arguments(call: Call) -> tuple[str, ...]:
    """At least one argument, or the UUID in --uuid-file. Raises UsageError."""
    found = _arguments(call)
    if not found:
        raise UsageError(f"{call.prefix} takes at least one UUID")
    return found


def _arguments(call: Call) -> tuple[str, ...]:
    """The UUIDs, or beginnings of UUIDs, or names that the command is about. Raises UsageError, HostFailure."""
    file, given = call.options.text("uuid-file"), call.words.arguments
    if file and given:
        raise UsageError(f"{call.prefix} takes a UUID or --uuid-file, not both")
    return (_read_uuid_file(file),) if file else given


def _read_uuid_file(path: str) -> str:
    """The UUID in a file that --uuid-file-save wrote; white space around it is fine. Source: behaviours A41."""
    try:
        text = read_text(path)
    except OSError as err:
        failure = HostFailure.of("unable to read UUID from file", err)
        failure.exit_code = 1
        raise failure from err
    if not text:
        raise InvalidSpec(f"no UUID in file {path}")
    return text


def resolve(call: Call, text: str) -> Pod:
    """The pod that an argument means. Raises NotFound, InvalidSpec with rkt's words."""
    try:
        return lookup.resolve(call.host.paths, text)
    except NotFound as err:
        raise NotFound(f"problem retrieving pod: {err.message}", err.hint) from err
    except InvalidSpec as err:
        raise InvalidSpec(f"problem retrieving pod: {err.message}", err.hint) from err


@contextmanager
def alone_with(call: Call, text: str, name: str) -> Iterator[Pod]:
    """The pod that an argument means, with its name locked against tasks and other calls of podctl.

    name: the pod's. Without one, or in a dry run, no lock is taken. A full UUID needs no lock either, and a task that
    holds the lock of the name calls podctl with one.
    Raises NotFound, InvalidSpec, Conflict naming the holder of the lock.
    """
    if not name or call.dry_run:
        with resolve(call, text) as pod:
            yield pod
        return
    with lookup.lock_name(call.host.paths, name, NAME_SECONDS) as lock:
        with resolve(call, text) as pod:
            yield pod
        lock.remove()


def name_meant(call: Call, text: str) -> str:
    """The argument if it is the name of a pod, "" if it is a UUID, a UUID prefix, or unknown."""
    return text if not is_uuid(text) and lookup.uuid_of_name(call.host.paths, text) else ""


def chosen_app(call: Call, pod: Pod, wanted: str = "") -> str:
    """The app of a pod that a command is about: wanted, or of --app, or its only one. Source: behaviours A45, A48.

    Raises NotFound, InvalidSpec with rkt's words, Corrupt.
    """
    names = [str(app.name) for app in documents.read_manifest(pod.dir).apps]
    if not names:
        raise InvalidSpec("pod contains zero apps", "podctl app add adds one, if the pod is a sandbox")
    wanted = wanted or call.options.text("app")
    if wanted:
        if wanted not in names:
            raise NotFound(f'pod "{pod.uuid}" has no app "{wanted}"', f"its apps are: {', '.join(names)}")
        return wanted
    if len(names) != 1:
        write_error("".join(("Pod contains multiple apps:\n", *(f"\t{name}\n" for name in names))))
        raise InvalidSpec(f'specify app using "podctl {call.prefix} --app= ..."')
    return names[0]
