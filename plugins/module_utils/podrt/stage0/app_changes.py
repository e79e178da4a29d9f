# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of single apps of a named pod that runs. The others run on.

A new app is prepared and rehearsed in a pod of its own before the old one stops. The files of the old one stay beside
the others until the new one is up; if it does not come up, the old one is started again on the very files that it had.
So it is if the change is killed, and the pod is wanted as it was before: see stage0.replaced.
"""

from __future__ import annotations

from ..contexts import contextmanager, suppress
from ..errors import InvalidSpec, PodError, known
from ..pod import documents, lookup
from ..pod.lifecycle import PodState, open_pod
from ..pod.limits import limits_of_pod, names_disks
from ..store.locks import adding
from . import apps, replaced, units
from .alone import REPLACE_APP
from .change import Change, Difference, at_stage
from .entry import call
from .inspection import check_apps
from .manifest import Preparation
from .prepare import check_sources, commit, prepare
from .swap import clear, rehearse, run_again, watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..appc.pod import PodManifest
    from ..host.host import Host
    from ..pod.lifecycle import Pod
    from .alone import AppChanges
    from .change import Plan
    from .status import PodStatus

# The seconds by which the way back of apps that fail at the end of their trial may begin later.
_MARGIN = 2.0


class ReplaceApps(Change):
    """Replace, add and remove apps of a running pod. boot: whether its unit starts it after a boot.

    min_uptime: how many seconds the new apps must stay up.
    """

    wanted: Preparation
    uuid: str
    changes: AppChanges
    boot: bool
    min_uptime: float = 0.0

    def foresee(self, host: Host) -> None:
        """Raise InvalidSpec or NotFound."""
        one, own_users = _only(self.wanted, self.changes.come), self.wanted.runspec.private_users
        with _placed(self.wanted, self.changes.come):
            check_sources(host, one.manifest, own_users=own_users)
            check_apps(one.manifest, one.images, own_users=own_users)

    def apply(self, host: Host) -> None:
        """Raises the failure of a new app, with rolled_back in its facts."""
        name = self.wanted.runspec.name
        with lookup.expect(host.paths, name, self.uuid) as pod, replaced.alone(pod):
            exchange = _AppExchange(host, pod, self)
            if exchange.has_wanted_aside:
                # A change that was killed has the very apps aside that are wanted again.
                exchange.bring_back()
            else:
                replaced.settle(host, pod)
                with at_stage("prepare", f'cannot prepare apps of pod "{name}"'):
                    self.foresee(host)
                exchange.make()
            if host.runs_systemd:
                units.install(host, pod, boot=self.boot)


class SettleApps(Change):
    """Bring a change of apps that was killed to its end, in a pod that is as described by then."""

    uuid: str

    def apply(self, host: Host) -> None:
        """Remove what it has left."""
        with open_pod(host.paths, self.uuid) as pod:
            replaced.settle_if_left(host, pod)
            replaced.release(host, pod)


class RestartApps(Change):
    """Start apps of a running pod again, or those that do not run. min_uptime: how many seconds they must stay up."""

    name: str
    uuid: str
    apps: tuple[str, ...]
    min_uptime: float = 0.0

    def apply(self, host: Host) -> None:
        """Each is stopped and started before the next one. Raises PodError."""
        with lookup.expect(host.paths, self.name, self.uuid) as pod:
            replaced.settle_if_left(host, pod)
            for app in self.apps:
                with at_stage("stop", f'cannot stop app "{app}"'):
                    replaced.forget_status(pod, app)
                    call(host, pod, "stop-app", f"--app={app}", replaced.HOLD)
                with at_stage("start", f'cannot start app "{app}"'):
                    call(host, pod, "start-app", f"--app={app}")
            watch(host, pod, self.name, self.min_uptime, self.apps)


def restart_apps(
    found: PodStatus, asked: tuple[str, ...], left: tuple[str, ...], min_uptime: float
) -> Plan[None]:
    """Plan: apps of a running pod start again, or for the first time. left: those that were added and never started.

    Without any, a change of apps that was killed has left something, although the pod is as described.
    """
    names = [app.name for app in found.apps]
    for number, app in enumerate(asked):
        if app not in names:
            hint = f"its apps are: {', '.join(names)}"
            raise InvalidSpec(f'the pod has no app "{app}"', hint, where=f"restart_apps[{number}]")
    subject = f'pod "{found.name}"'
    if not asked and not left:
        yield SettleApps(subject, (), found.uuid)
        return
    differences = (
        *(_state_of(found, app, "running", "restarted", "playbook") for app in asked),
        *(_state_of(found, app, "created", "running", "drift") for app in left),
    )
    yield RestartApps(subject, differences, found.name, found.uuid, (*asked, *left), min_uptime)


def _state_of(found: PodStatus, app: str, before: str, after: str, reason: str) -> Difference:
    return Difference(f"pods.{found.name}.apps.{app}.state", before, after, reason, REPLACE_APP)


class _AppExchange:
    """The exchange of apps in the directory of a pod, and the way back."""

    def __init__(self, host: Host, pod: Pod, change: ReplaceApps) -> None:
        self._host, self._pod, self._change = host, pod, change
        self._name = change.wanted.runspec.name
        self._before = documents.read_manifest(pod.dir)
        # The apps that were stopped for it, but for those that had ended by themselves.
        self._ran: list[str] = []
        self._touched = False

    @property
    def has_wanted_aside(self) -> bool:
        """Whether a change that was killed has given the pod its manifest, and the one before is wanted again."""
        before = replaced.manifest_before(self._pod)
        return before != self._before and before == self._change.wanted.manifest

    def make(self) -> None:
        """Make it. Raises PodError, after the way back."""
        host, pod = self._host, self._pod
        staged = ""
        try:
            replaced.begin(pod)
            staged = self._prepared()
            self._exchange(staged)
        except Exception as err:
            reason = known(f'cannot change the apps of pod "{self._name}"', err)
            reason.facts.setdefault("stage", "start")
            self._go_back(reason)
            raise reason from reason.__cause__
        finally:
            if staged:
                clear(host, staged)
        replaced.finish(pod, self._before)
        self._limit()
        if not self._change.changes.come:
            replaced.release(host, pod)

    def bring_back(self) -> None:
        """Run the apps again that another change has set aside, on the files that they had. Raises PodError."""
        host, pod, changes = self._host, self._pod, self._change.changes
        for app in dict.fromkeys((*changes.gone, *changes.come)):
            call(host, pod, "remove-app", f"--app={app}", replaced.HOLD)
        apps.write_manifest(pod, self._change.wanted.manifest)
        replaced.settle(host, pod)
        self._start(changes.come)
        watch(host, pod, self._name, self._change.min_uptime, changes.come)
        self._limit()

    def _prepared(self) -> str:
        """Prepare and rehearse the apps that are to come, in a pod of their own. Returns its UUID, "" for none."""
        host, pod, change = self._host, self._pod, self._change
        if not change.changes.come:
            return ""
        with at_stage("prepare", f'cannot prepare apps of pod "{self._name}"'):
            fresh = prepare(
                host,
                _only(change.wanted, change.changes.come),
                lambda uuid: replaced.record_staged(pod, uuid),
                kin=pod,
            )
            commit(fresh)
        with _placed(change.wanted, change.changes.come):
            rehearse(host, fresh.uuid)
        return fresh.uuid

    def _exchange(self, staged: str) -> None:
        host, pod, changes = self._host, self._pod, self._change.changes
        self._touched = True
        for app in changes.gone:
            if documents.read_status(pod.dir, app) is None:
                self._ran.append(app)
            replaced.take_down(host, pod, app, held=self._is_held)
        # A collection sees a tree where it was, or where it is.
        with adding(host.paths):
            for app in changes.gone:
                replaced.set_aside(pod, app)
            if staged:
                with open_pod(host.paths, staged) as kin:
                    for app in changes.come:
                        replaced.take_in(pod, kin.dir, app)
        replaced.sync(pod)
        apps.write_manifest(pod, _manifest_of(self._change.wanted, self._before, changes.come))
        self._start(changes.come, self._change.min_uptime)
        watch(host, pod, self._name, self._change.min_uptime, changes.come)

    def _go_back(self, reason: PodError) -> None:
        """Run the old apps again on the files that they had, with the result in the facts of the reason."""
        host, pod = self._host, self._pod
        if not self._touched:
            with suppress(PodError):  # what is left is settled by the next task
                replaced.settle(host, pod)
            return
        reason.facts["rolled_back"] = False
        try:
            for app in self._change.changes.come:
                call(host, pod, "remove-app", f"--app={app}", replaced.HOLD)
            apps.write_manifest(pod, self._before)
            replaced.settle(host, pod)
            reason.facts["changes"] = [difference.to_json() for difference in self._run_before()]
            reason.facts["rolled_back"] = True
        except Exception as second:
            reason.message += f"; bringing the old apps back failed as well: {second}"

    def _run_before(self) -> list[Difference]:
        """Run the old apps again; the whole pod, if the new one has ended it, as the exit policy may say."""
        host, pod, name = self._host, self._pod, self._name
        if pod.state() is not PodState.RUNNING:
            return [
                Difference(f"pods.{name}.uuid", pod.uuid, run_again(host, name, pod), "playbook", "restart")
            ]
        self._start(tuple(self._ran))
        if not self._ran:
            replaced.release(host, pod)
        paths = (f"pods.{name}.apps.{app}.state" for app in self._ran)
        return [Difference(path, "running", "restarted", "playbook", REPLACE_APP) for path in paths]

    @property
    def _is_held(self) -> bool:
        """Whether the pod must not end while apps are taken from it: others are to come, or it has just these."""
        gone, come = self._change.changes.gone, self._change.changes.come
        stay = tuple(str(app.name) for app in self._before.apps if app.name not in gone)
        return bool(come) or not replaced.runs_any(self._pod, stay)

    def _start(self, names: tuple[str, ...], trial: float = 0.0) -> None:
        """Start apps one after the other. The pod is held until the last one is up.

        trial: for how many seconds after that it does not end if one fails, whatever its exit policy.
        """
        last = (replaced.hold(trial + _MARGIN),) if trial else ()
        for app in names:
            held = last if app == names[-1] else (replaced.HOLD,)
            call(self._host, self._pod, "start-app", f"--app={app}", *held)

    def _limit(self) -> None:
        """Have the limits of the pod follow its apps."""
        after = documents.read_manifest(self._pod.dir)
        if not names_disks(after) and limits_of_pod(self._before) != limits_of_pod(after):
            with suppress(PodError):  # the next task sees it as drift
                call(self._host, self._pod, "mend")


def _manifest_of(wanted: Preparation, before: PodManifest, come: tuple[str, ...]) -> PodManifest:
    """The wanted manifest, with the apps that stay as the pod has them: an image may have another name by now."""
    held = {app.name: app for app in before.apps if app.name not in come}
    return wanted.manifest.replace(apps=tuple(held.get(app.name, app) for app in wanted.manifest.apps))


@contextmanager
def _placed(wanted: Preparation, names: tuple[str, ...]) -> Iterator[None]:
    """Have errors on some apps alone, see _only, name the places that these have in the pod."""
    try:
        yield
    except PodError as err:
        where = str(err.facts.get("where", ""))
        number, bracket, rest = where.removeprefix("apps[").partition("]")
        if where.startswith("apps[") and number.isdigit():
            places = [place for place, app in enumerate(wanted.manifest.apps) if app.name in names]
            err.move(f"apps[{places[int(number)]}{bracket}{rest}")
        raise


def _only(wanted: Preparation, names: tuple[str, ...]) -> Preparation:
    """The preparation of some apps alone, for a pod without a name and without ports."""
    pairs = [(app, image) for app, image in zip(wanted.manifest.apps, wanted.images) if app.name in names]
    return wanted.replace(
        manifest=wanted.manifest.replace(apps=tuple(app for app, _image in pairs), ports=()),
        runspec=wanted.runspec.replace(name=""),
        images=tuple(image for _app, image in pairs),
        prefill=tuple(pair for pair in wanted.prefill if pair[0] in names),
    )
