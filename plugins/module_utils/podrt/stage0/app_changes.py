# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of single apps of a named pod that runs. The others run on.

A new app is prepared and rehearsed in a pod of its own before the old one stops. The files of the old one stay beside
the others until the new one is up; if it does not come up, the old one is started again on the very files that it had.
"""

from __future__ import annotations

import os

from ..contexts import suppress
from ..errors import PodError, known
from ..host.dirs import PodDir
from ..host.files import entries_if_any, make_dirs, remove_tree
from ..pod import documents, lookup
from ..pod.lifecycle import PodState, open_pod
from ..pod.limits import limits_of_pod, names_disks
from . import apps, units
from .alone import REPLACE_APP
from .change import Change, Difference, at_stage
from .entry import call
from .inspection import check_apps
from .manifest import Preparation
from .prepare import check_sources, commit, prepare
from .swap import clear, rehearse, run_again, watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.pod import PodManifest
    from ..host.host import Host
    from ..pod.lifecycle import Pod
    from .alone import AppChanges

# Longer than any start: a pod whose only app is being replaced does not end meanwhile.
_HOLD = "--hold=600"


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
        check_sources(host, self.wanted.manifest)
        one = _only(self.wanted, self.changes.come)
        check_apps(one.manifest, one.images)

    def apply(self, host: Host) -> None:
        """Raises the failure of a new app, with rolled_back in its facts."""
        name = self.wanted.runspec.name
        with lookup.expect(host.paths, name, self.uuid) as pod, apps.changing(pod):
            with at_stage("prepare", f'cannot prepare apps of pod "{name}"'):
                self.foresee(host)
                staged = (
                    _staged(host, pod, _only(self.wanted, self.changes.come)) if self.changes.come else ""
                )
            if staged:
                rehearse(host, staged)
            try:
                _AppExchange(host, pod, staged, self).make()
            finally:
                if staged:
                    clear(host, staged)
            if host.runs_systemd:
                units.install(host, pod, boot=self.boot)


class RestartApps(Change):
    """Start apps of a running pod again, or those that do not run. min_uptime: how many seconds they must stay up."""

    name: str
    uuid: str
    apps: tuple[str, ...]
    min_uptime: float = 0.0

    def apply(self, host: Host) -> None:
        """Each is stopped and started before the next one. Raises PodError."""
        with lookup.expect(host.paths, self.name, self.uuid) as pod:
            for app in self.apps:
                with at_stage("stop", f'cannot stop app "{app}"'):
                    call(host, pod, "stop-app", f"--app={app}", _HOLD)
                with at_stage("start", f'cannot start app "{app}"'):
                    call(host, pod, "start-app", f"--app={app}")
            watch(host, pod, self.name, self.min_uptime, self.apps)


class _AppExchange:
    """The exchange of apps in the directory of a pod, and the way back."""

    def __init__(self, host: Host, pod: Pod, staged: str, change: ReplaceApps) -> None:
        self._host, self._pod, self._staged, self._change = host, pod, staged, change
        self._aside = PodDir(pod.dir.replaced)
        self._before = documents.read_manifest(pod.dir)
        # The apps that were stopped for it, and those of them that had not ended by themselves.
        self._stopped: list[str] = []
        self._ran: list[str] = []
        self._taken: list[str] = []

    def make(self) -> None:
        """Make it. Raises PodError, after the way back."""
        name = self._change.wanted.runspec.name
        remove_tree_if_any(self._aside.path)
        try:
            self._make(name)
        except Exception as err:
            reason = known(f'cannot change the apps of pod "{name}"', err)
            reason.facts.setdefault("stage", "start")
            self._go_back(reason)
            raise reason from reason.__cause__
        remove_tree_if_any(self._aside.path)
        self._tidy()

    def _make(self, name: str) -> None:
        host, pod, change = self._host, self._pod, self._change
        for app in change.changes.gone:
            self._stop(app)
            move_app(pod.dir, self._aside, app)
        if self._staged:
            with open_pod(host.paths, self._staged) as staged:
                for app in change.changes.come:
                    self._taken.append(app)
                    move_app(staged.dir, pod.dir, app)
        apps.write_manifest(pod, _manifest_of(change.wanted, self._before, change.changes.come))
        for app in change.changes.come:
            call(host, pod, "start-app", f"--app={app}")
        watch(host, pod, name, change.min_uptime, change.changes.come)

    def _stop(self, app: str) -> None:
        if documents.read_status(self._pod.dir, app) is None:
            self._ran.append(app)
        self._stopped.append(app)
        call(self._host, self._pod, "remove-app", f"--app={app}", _HOLD)

    def _go_back(self, reason: PodError) -> None:
        """Run the old apps again on the files that they had, with the result in the facts of the reason."""
        host, pod = self._host, self._pod
        reason.facts["rolled_back"] = False
        try:
            for app in self._taken:
                call(host, pod, "remove-app", f"--app={app}", _HOLD)
                for path in places_of(pod.dir, app):
                    remove_tree_if_any(path)
            for app in self._stopped:
                move_app(self._aside, pod.dir, app)
            apps.write_manifest(pod, self._before)
            reason.facts["changes"] = [difference.to_json() for difference in self._run_before()]
            reason.facts["rolled_back"] = True
            remove_tree_if_any(self._aside.path)
        except Exception as second:
            reason.message += f"; bringing the old apps back failed as well: {second}"

    def _run_before(self) -> list[Difference]:
        """Run the old apps again; the whole pod, if the new one has ended it, as the exit policy may say."""
        host, pod, name = self._host, self._pod, self._change.wanted.runspec.name
        if pod.state() is not PodState.RUNNING:
            return [
                Difference(f"pods.{name}.uuid", pod.uuid, run_again(host, name, pod), "playbook", "restart")
            ]
        for app in self._ran:
            call(host, pod, "start-app", f"--app={app}")
        paths = (f"pods.{name}.apps.{app}.state" for app in self._ran)
        return [Difference(path, "running", "restarted", "playbook", REPLACE_APP) for path in paths]

    def _tidy(self) -> None:
        """Remove the empty volumes that are gone, and have the limits of the pod follow."""
        after = documents.read_manifest(self._pod.dir)
        kept = {volume.name for volume in after.volumes}
        for volume in self._before.volumes:
            if volume.name not in kept:
                remove_tree_if_any(self._pod.dir.volume(volume.name))
        for app in self._change.changes.gone:
            if app not in self._change.changes.come:
                apps.remove_files(self._pod, app)
        if not names_disks(after) and limits_of_pod(self._before) != limits_of_pod(after):
            with suppress(PodError):  # the next task sees it as drift
                call(self._host, self._pod, "mend")


def _manifest_of(wanted: Preparation, before: PodManifest, come: tuple[str, ...]) -> PodManifest:
    """The wanted manifest, with the apps that stay as the pod has them: an image may have another name by now."""
    held = {app.name: app for app in before.apps if app.name not in come}
    return wanted.manifest.replace(apps=tuple(held.get(app.name, app) for app in wanted.manifest.apps))


def _only(wanted: Preparation, names: tuple[str, ...]) -> Preparation:
    """The preparation of some apps alone, for a pod without a name and without ports."""
    pairs = [(app, image) for app, image in zip(wanted.manifest.apps, wanted.images) if app.name in names]
    return wanted.replace(
        manifest=wanted.manifest.replace(apps=tuple(app for app, _image in pairs), ports=()),
        runspec=wanted.runspec.replace(name=""),
        images=tuple(image for _app, image in pairs),
        prefill=tuple(pair for pair in wanted.prefill if pair[0] in names),
    )


def _staged(host: Host, pod: Pod, wanted: Preparation) -> str:
    """A prepared pod of the apps that are to come. Returns its UUID."""
    fresh = prepare(host, wanted, kin=pod)
    commit(fresh)
    return fresh.uuid


def places_of(place: PodDir, app: str) -> list[str]:
    """The files and directories of an app in the directory of a pod, but for its logs."""
    found = [place.app_info(app), os.path.dirname(place.app_root(app))]
    for tree in entries_if_any(place.overlays):
        found += [*place.overlay(tree, app), place.shifted_layer(tree, app)]
    return found


def move_app(source: PodDir, target: PodDir, app: str) -> None:
    """Move the files of an app from one directory to another one of the same layout. Raises OSError."""
    for path in places_of(source, app):
        if os.path.lexists(path):
            there = target.path + path[len(source.path) :]
            make_dirs(os.path.dirname(there))
            remove_tree_if_any(there)
            os.rename(path, there)


def remove_tree_if_any(path: str) -> None:
    """Remove a tree, if it is there. Raises OSError."""
    with suppress(FileNotFoundError):
        remove_tree(path)
