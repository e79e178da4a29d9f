# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks, one function each: plain options in, a plain result out, whatever the caller.

Each is plan, converge, result; check mode is converge without apply and nothing else.
"""

from __future__ import annotations

import os

from ..appc.names import ACName
from ..errors import AppFailed, Bug, HostFailure, InvalidSpec, PodError, Unsupported, known, printable
from ..fields import Fields
from ..host.host import Host, find_paths
from ..host.reading import read_given
from ..image import find
from ..image.reference import parse_reference
from ..pod import lookup
from ..pod.lifecycle import PodState, open_pod
from ..pod.names import PodName
from ..stage0 import images, plan
from ..stage0.change import converge, naming_changes
from ..stage0.options import reading
from ..stage0.status import read_status
from ..value import Value
from .results import add_output, fetch_result, fetches_result, image_result, outcome_result, pod_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Optional, Union

    from ..appc.names import ImageID
    from ..host.paths import Paths
    from ..image.policy import FetchPolicy
    from ..image.reference import ImageReference
    from ..pod.lifecycle import Pod
    from ..stage0.change import Change, Changes, Outcome, Plan
    from ..stage0.spec import Conduct, PodSpec
    from ..stage0.status import PodStatus
    from ..store.index import StoredImage
    from .images import OneImage

    Task = Callable[[Host, Fields, bool], dict[str, object]]
    ImagePlan = Union[Plan[Optional[StoredImage]], Plan[None]]

_BECOME = "set become: true on the play or the task"


def run_task(name: str, options: dict[str, object], *, check: bool) -> dict[str, object]:
    """Run one of TASKS. Raises PodError; the result of a failure has failed=True and msg."""
    fields = Fields(options, "")
    host = Host.here(_paths(fields))
    if name != "pod_info" and os.geteuid() != 0:
        raise Unsupported("pods need root", _BECOME, uid=os.geteuid(), where="become")
    result = TASKS[name](host, fields, check)
    if "msg" in result:
        result["msg"] = printable(str(result["msg"]))
    warnings = result.get("warnings")
    if isinstance(warnings, list):
        result["warnings"] = [printable(str(warning)) for warning in warnings]
    return result


def _paths(options: Fields) -> Paths:
    return find_paths(_absolute(options, "data_dir"), _absolute(options, "config_dir"))


def _absolute(options: Fields, name: str) -> str:
    path = options.text(name, "")
    if path and not os.path.isabs(path):
        raise InvalidSpec(f'"{path}" is not an absolute path', where=name)
    return path


class _Converged(Value):
    """What became of a pod, and of it. warnings: what people should hear."""

    outcome: Outcome
    pod: PodStatus | None = None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The result of pod_run."""
        return {
            **outcome_result(self.outcome),
            "pod": pod_result(self.pod) if self.pod else None,
            "fetched": fetches_result(self.outcome),
            "warnings": list(self.warnings),
        }


def _pod_run(host: Host, options: Fields, check: bool) -> dict[str, object]:
    try:
        return _run_pod(host, options, check)
    except PodError as err:
        where = str(err.facts.get("where", ""))
        if where.startswith("volumes[") and _has_short_forms(options):
            from ..stage0.options.short import written_at

            err.move(written_at(options, where))
        raise


def _run_pod(host: Host, options: Fields, check: bool) -> dict[str, object]:
    conduct = reading.read_conduct(options)
    name = PodName(options.text("name"), "name")
    if check:
        return _converge_pod(host, name, conduct, options, check=True).to_json()
    waits = conduct.wait and conduct.state in ("started", "restarted")
    with lookup.lock_name(host.paths, name) as lock:
        converged = _converge_pod(host, name, conduct, options, check=False)
        # Opened while the name still means the converged pod: another task may take it next.
        pod = lookup.by_name(host.paths, name) if waits else None
        lock.remove()
    if not pod:
        return converged.to_json()
    changes = converged.outcome.to_json()
    with pod, naming_changes(changes, f'cannot wait for pod "{name}"'):
        return {**converged.to_json(), **_ended(host, pod, conduct, changes)}


def _converge_pod(host: Host, name: PodName, conduct: Conduct, options: Fields, *, check: bool) -> _Converged:
    state, completes, uptime = conduct.state, conduct.wait, conduct.min_uptime
    if state == "absent":
        outcome, _left = converge(host, plan.ensure_absent(host, name), apply=not check)
        return _Converged(outcome)
    if options.has("apps") or state == "prepared":
        spec = _pod_spec(options)
        wanted = plan.ensure_pod(
            host, spec, state, completes=completes, min_uptime=uptime, restart_apps=conduct.restart_apps
        )
    else:
        wanted = plan.ensure_state(
            host, name, state, completes=completes, min_uptime=uptime, restart_apps=conduct.restart_apps
        )
    planned, left = converge(host, wanted, apply=not check)
    with naming_changes(planned.to_json(), f'cannot look at pod "{name}"'):
        applied = planned.changes and not check
        found = plan.find_named(host, name) if applied else left.found
        more = planned.foreseen
        if planned.changed and found and not check:
            more = _informed(host, found, completes=completes)
        return _Converged(planned, found, (*left.warnings, *planned.notes, *more))


def _pod_spec(options: Fields) -> PodSpec:
    if not options.raw("apps"):
        raise InvalidSpec("a pod needs at least one app", 'write apps: [{image: "..."}]', where="apps")
    if _has_short_forms(options):
        from ..stage0.options.short import spread

        options = spread(options)
    spec = reading.pod_spec(_with_files(options))
    return spec.replace(run=spec.run.replace(names=True))


def _with_files(options: Fields) -> Fields:
    """The options, with the content of the host's environment files. Raises InvalidSpec, HostFailure."""
    if options.text("env_file_from", "") != "host":
        return options
    files = [_with_content(*item) for item in options.items("env_file")]
    return options.replaced(env_file=files)


def _with_content(element: object, where: str) -> object:
    path = element.get("short") if isinstance(element, dict) else element
    if not isinstance(path, str) or (isinstance(element, dict) and element.get("content") is not None):
        return element
    if not os.path.isabs(path):
        raise InvalidSpec(f'"{path}" is not an absolute path', "begin it with /", where=where)
    try:
        return {"short": path, "content": read_given(path).decode()}
    except UnicodeDecodeError as err:
        raise InvalidSpec(f'"{path}" is not UTF-8', "name a file of text", where=where) from err
    except OSError as err:
        hint = "with env_file_from: controller it is a file of the controller"
        raise HostFailure.of(f"{where}: cannot read {path}", err, hint) from err


def _has_short_forms(options: Fields) -> bool:
    """Whether mounts, ports, file systems in memory or users are written as short forms."""
    apps = [app for app in _list(options.raw("apps")) if isinstance(app, dict)]
    forms = [*_list(options.raw("mounts")), *_list(options.raw("ports"))]
    forms += [form for app in apps for name in ("mounts", "tmpfs") for form in _list(app.get(name))]
    return any(
        isinstance(form, str) or (isinstance(form, dict) and form.get("short")) for form in forms
    ) or any(":" in str(app.get("user")) for app in apps)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _informed(host: Host, found: PodStatus, *, completes: bool) -> tuple[str, ...]:
    """Warnings about a pod that is not quite as its description suggests."""
    from ..stage0.prepare import notes_of_preparation

    with open_pod(host.paths, found.uuid) as pod:
        warnings = notes_of_preparation(pod.dir)
    if found.state is PodState.EXITED and not found.was_stopped and not completes:
        warnings += (
            f'pod "{found.name}" has ended already, with status {found.exit_code}; '
            "wait: true is for pods that do their work and end",
        )
    return warnings


def _ended(host: Host, pod: Pod, conduct: Conduct, changes: Changes) -> dict[str, object]:
    """Wait for a pod that does its work and ends; its result then, with the last lines of its apps, and rc."""
    from ..stage0.start import wait

    limit = conduct.wait_timeout
    ended = wait(host, pod, float(limit))
    after = read_status(pod)
    shown = pod_result(after)
    add_output(host, shown, conduct.tail)
    if not ended:
        msg = f'pod "{after.name}" has not ended within {limit} seconds{_loops(after)}'
        return {"pod": shown, "failed": True, "msg": msg, "error": "timeout", "rc": None}
    failed = _failure(after, host, changes) if after.exit_code != 0 else {}
    return {"pod": shown, "rc": after.exit_code, **failed}


def _loops(found: PodStatus) -> str:
    """What to say of the first app that was started again and again meanwhile."""
    for app in found.apps:
        if app.restarts and app.restarts.count:
            last = app.restarts
            how = f"signal {last.signal}" if last.exit_code is None else f"status {last.exit_code}"
            return f': app "{app.name}" was started again {last.count} times, and has ended last with {how}'
    return ""


def _failure(found: PodStatus, host: Host, changes: Changes) -> dict[str, object]:
    """The result for a pod that has failed."""
    from ..pod.failure import app_failure

    with open_pod(host.paths, found.uuid) as pod:
        err = app_failure(pod.dir, found.name, tuple(app.name for app in found.apps))
    if err is None:
        err = AppFailed(f'pod "{found.name}" has ended without a status: it was killed', stage="run")
    err.facts["changes"] = changes
    return failure(err)


def _pod_image(host: Host, options: Fields, check: bool) -> dict[str, object]:
    if isinstance(options.raw("name"), list):
        return _several_images(host, options, check)
    if options.has("src"):
        from .sent import pod_image_sent

        return pod_image_sent(host, options, check=check)
    return _one_image(host, options, check)


def _several_images(host: Host, options: Fields, check: bool) -> dict[str, object]:
    from .images import OneImage, pod_images

    absent = options.text("state", "present") == "absent"
    if not (check or absent):
        return pod_images(options, lambda one: _begun(host, one))
    also = _stored_ids(host, options) if absent else ()
    return pod_images(options, lambda one: OneImage(_attempt(lambda: _one_image(host, one, check, also))))


def _stored_ids(host: Host, options: Fields) -> tuple[ImageID, ...]:
    """The IDs of the images of a list of names, as far as the store has them."""
    names = [(name, where) for name, where in options.items("name") if isinstance(name, str)]
    found = (find.stored_id(host, parse_reference(*name, relative=False)) for name in names)
    return tuple(filter(None, found))


def _begun(host: Host, options: Fields) -> OneImage:
    """One of several images whose plan is begun, to tell work from bookkeeping, and gone on with.

    Under pull: update this asks its registry. What the answer leaves to do without a fetch is planned again without
    another question, since it may depend on what becomes of the others until then.
    """
    from .images import OneImage

    if options.boolean("force", False):
        return OneImage(_attempt(lambda: _one_image(host, options, check=False)), has_work=True)
    try:
        wanted = _image_plan(host, options)
        first = next(wanted, None)
    except Exception as err:
        failed = failure(err)
        return OneImage(lambda: failed)
    if isinstance(first, (images.FetchImage, images.RenderTree)):
        begun = _Begun(wanted, first)
        return OneImage(_attempt(lambda: _one_image(host, options, check=False, begun=begun)), has_work=True)
    current = options.replaced(pull="new") if options.text("pull", "") == "update" else options
    return OneImage(_attempt(lambda: _one_image(host, current, check=False)))


class _Begun(Value):
    """The plan of an image that waits for the answer to its first change."""

    wanted: ImagePlan
    first: Change


def _attempt(run: Callable[[], dict[str, object]]) -> Callable[[], dict[str, object]]:
    """The same with the result of a failure in place of its exception."""

    def attempt() -> dict[str, object]:
        try:
            return run()
        except Exception as err:
            return failure(err)

    return attempt


def _one_image(
    host: Host,
    options: Fields,
    check: bool,
    also: tuple[ImageID, ...] = (),
    begun: _Begun | None = None,
) -> dict[str, object]:
    wanted, first = (begun.wanted, begun.first) if begun else (_image_plan(host, options, also), None)
    outcome, _left = converge(host, wanted, apply=not check, begun=first)
    removed = [change for change in outcome.changes if isinstance(change, images.RemoveImage)]
    warnings = [*outcome.notes, *outcome.foreseen, *(change.warning for change in removed if change.warning)]
    result = {**outcome_result(outcome), "warnings": warnings, "image": None}
    if options.text("state", "present") == "absent":
        return result
    reference = parse_reference(options.text("name"), "name", relative=False)
    with naming_changes(outcome.to_json(), f'cannot look at image "{reference}"'):
        stored = find.lookup(host, reference)
    return {**result, **fetch_result(outcome, reference), "image": image_result(stored) if stored else None}


def _image_plan(host: Host, options: Fields, also: tuple[ImageID, ...] = ()) -> ImagePlan:
    policy = reading.fetch_policy(options).replace(signature=_absolute(options, "signature"))
    reference = parse_reference(options.text("name"), "name", relative=False)
    if options.text("state", "present") == "absent":
        if options.has("dest"):
            raise InvalidSpec("an image that is removed is not exported", "leave it out", where="dest")
        return images.ensure_no_image(host, reference, also)
    wanted = _ensure_image(host, reference, policy, options)
    if not options.has("dest"):
        return wanted
    from ..stage0.image_export import exporting

    return exporting(host, reference, options.text("dest"), wanted)


def _ensure_image(
    host: Host, reference: ImageReference, policy: FetchPolicy, options: Fields
) -> Plan[StoredImage | None]:
    if options.boolean("force", False):
        from ..stage0.image_again import ensure_again

        image = yield from ensure_again(host, reference, policy)
    else:
        image = yield from images.ensure_image(host, reference, policy, names=True)
    pinned = options.optional_boolean("pinned")
    if pinned is not None:
        yield from images.ensure_pin(host, reference, image, wanted=pinned)
    return image


def _pod_volume(host: Host, options: Fields, check: bool) -> dict[str, object]:
    from ..stage0 import volumes
    from .results import volume_result

    name = ACName(options.text("name"), "name")
    if options.text("state", "present") == "absent":
        gone = volumes.ensure_no_volume(host, name, purge_data=options.boolean("purge_data", False))
        outcome, _left = converge(host, gone, apply=not check)
        return {**outcome_result(outcome), "volume": None}
    spec = volumes.volume_spec(
        name,
        options.optional_text("mode"),
        options.optional_integer("uid"),
        options.optional_integer("gid"),
        dict(options.pairs("labels")),
    )
    outcome, _left = converge(host, volumes.ensure_volume(host, spec), apply=not check)
    with naming_changes(outcome.to_json(), f'cannot look at volume "{name}"'):
        found = volumes.read_volume(host, name)
    return {**outcome_result(outcome), "volume": volume_result(found) if found else None}


def _pod_network(host: Host, options: Fields, check: bool) -> dict[str, object]:
    from .networks import pod_network

    return pod_network(host, options, check=check)


def _pod_network_info(host: Host, options: Fields, _check: bool) -> dict[str, object]:
    from .networks import pod_network_info

    return {"changed": False, **pod_network_info(host, options)}


def _pod_info(host: Host, options: Fields, _check: bool) -> dict[str, object]:
    from .info import gather

    try:
        return {"changed": False, **gather(host, options)}
    except PermissionError as err:
        raise Unsupported(
            f"user {os.geteuid()} may not read {err.filename}", _BECOME, uid=os.geteuid(), where="become"
        ) from err


def _pod_image_info(host: Host, options: Fields, _check: bool) -> dict[str, object]:
    from .image_info import gather_images

    return {"changed": False, **gather_images(host, options)}


def _pod_metadata_service(host: Host, options: Fields, check: bool) -> dict[str, object]:
    from .metadata import pod_metadata_service

    return pod_metadata_service(host, options, check=check)


def _pod_gc(host: Host, options: Fields, check: bool) -> dict[str, object]:
    from .collect import collect

    return collect(host, options, check=check)


def _pod_trust(host: Host, options: Fields, check: bool) -> dict[str, object]:
    if options.text("policy", ""):
        from .policies import pod_trust_policy

        return pod_trust_policy(host, options, check=check)
    from .trust import pod_trust

    return pod_trust(host, options, check=check)


def _pod_image_build(host: Host, options: Fields, check: bool) -> dict[str, object]:
    from .image_build import pod_image_build

    return pod_image_build(host, options, check=check)


def _pod_login(host: Host, options: Fields, check: bool) -> dict[str, object]:
    from .login import pod_login

    return pod_login(host, options, check=check)


TASKS: dict[str, Task] = {
    "pod_run": _pod_run,
    "pod_image": _pod_image,
    "pod_image_build": _pod_image_build,
    "pod_volume": _pod_volume,
    "pod_network": _pod_network,
    "pod_network_info": _pod_network_info,
    "pod_image_info": _pod_image_info,
    "pod_info": _pod_info,
    "pod_gc": _pod_gc,
    "pod_login": _pod_login,
    "pod_metadata_service": _pod_metadata_service,
    "pod_trust": _pod_trust,
}


def failure(err: Exception) -> dict[str, object]:
    """The result of a task that failed: msg, error (the kind), hint, facts and the changes made so far.

    exception: the traceback of a bug.
    """
    found = known("the operating system refused" if isinstance(err, OSError) else "the task failed", err)
    facts = dict(found.facts)
    changes = facts.pop("changes", [])
    return {
        "failed": True,
        "msg": printable(found.message + (f" ({found.hint})" if found.hint else "")),
        "error": found.kind,
        "hint": found.hint,
        "changes": changes,
        "changed": bool(changes),
        **({"rolled_back": facts.pop("rolled_back")} if "rolled_back" in facts else {}),
        **({"exception": _traceback(err)} if isinstance(found, Bug) else {}),
        "facts": facts,
    }


def _traceback(err: Exception) -> str:
    import traceback  # only for bugs

    return "".join(traceback.format_exception(type(err), err, err.__traceback__))
