# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans for the command line, which addresses one pod by its UUID: make one, start, stop and remove it.

Imports that only one of them needs are in its functions: podctl run pays for each import.
"""

from __future__ import annotations

from ..errors import Conflict, PodError
from ..pod import lookup
from ..pod.documents import read_manifest
from ..pod.lifecycle import PodState, open_pod
from ..store.index import has_image
from ..store.locks import adding
from .change import Change, Difference
from .prepare import check_sources, prepare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..host.host import Host
    from ..pod.lifecycle import Pod
    from .change import Plan
    from .manifest import Preparation

_NEVER_RAN = (PodState.EMBRYO, PodState.PREPARING, PodState.ABORTED_PREPARE, PodState.PREPARED)


class ImageGone(Conflict):
    """An image was removed between the look at it and the pod that refers to it."""


class PreparePod(Change):
    """Prepare a new pod and hand it over, complete but for its last move, locked.

    wanted: None while an image is not in the store. runs: whether it is to run at once. on_created: called with the
    UUID before anything else is written. hand_over: owns the pod from then on.
    """

    wanted: Preparation | None
    runs: bool
    on_created: Callable[[str], None]
    hand_over: Callable[[Pod], None]

    def foresee(self, host: Host) -> None:
        """Raises InvalidSpec, NotFound and Conflict."""
        if self.wanted is None:
            return
        _check_free(host, self.wanted.runspec.name)
        if self.runs:
            from .pod_changes import check_new

            check_new(host, self.wanted, "")
        else:
            check_sources(host, self.wanted.manifest, own_users=self.wanted.runspec.private_users)

    def apply(self, host: Host) -> None:
        """Raises ImageGone, Conflict when the pod's name means another one, and what prepare raises."""
        if self.wanted is None:
            raise Conflict("an image has gone while the pod was being prepared", "try again")
        name = self.wanted.runspec.name
        if not name:
            self.hand_over(self._prepared(host, self.wanted))
            return
        with lookup.lock_name(host.paths, name) as lock:
            _check_free(host, name)
            pod = self._prepared(host, self.wanted)
            lookup.set_name(host.paths, name, pod.uuid)
            self.hand_over(pod)
            lock.remove()

    def _prepared(self, host: Host, wanted: Preparation) -> Pod:
        """Prepare it. No collection may remove the images between the last look at them and the pod with them."""
        with adding(host.paths):
            if not all(has_image(host.paths, image.id) for image in wanted.all_images):
                raise ImageGone("an image has gone while the pod was being prepared", "try again")
            return prepare(host, wanted, self.on_created)


class StartAgain(Change):
    """Start the pod of a name, a new one from its documents if it has ended; that one is then left to gc.

    hand_over: owns the pod, which is prepared, from then on, and runs it.
    """

    name: str
    uuid: str
    hand_over: Callable[[Pod], None]

    def foresee(self, host: Host) -> None:
        """Raises InvalidSpec, NotFound and Conflict."""
        from .pod_changes import check_documents

        with open_pod(host.paths, self.uuid) as pod:
            check_documents(host, pod)

    def apply(self, host: Host) -> None:
        """Raises NotFound, Conflict, Corrupt, HostFailure."""
        from .start import start_again

        self.hand_over(start_again(host, self.name, self.uuid))


class SignalPod(Change):
    """Have a running pod stop, and do not wait for it. force: kill it."""

    uuid: str
    force: bool

    def apply(self, host: Host) -> None:
        """A pod that is a unit is stopped by systemd, so that this knows. A paused one goes on, to its end.

        Raises PodError.
        """
        from ..pod.freezer import is_paused, unpause

        with open_pod(host.paths, self.uuid) as pod:
            paused = is_paused(pod.dir)
            if paused and not self.force:
                unpause(pod)
            if not _is_stopped_by_systemd(host, pod) or self.force:
                self.signal(host, pod)
            if paused and self.force:
                unpause(pod)

    def signal(self, host: Host, pod: Pod) -> None:
        """Ask the pod's stage1 to stop it."""
        from .entry import call

        call(host, pod, "stop", *(("--force",) if self.force else ()))


class DeletePod(Change):
    """Delete a pod that does not run, whatever the grace period, with its unit and its name."""

    uuid: str

    def foresee(self, host: Host) -> None:
        """Raises Conflict."""
        from .gc import check_idle

        with open_pod(host.paths, self.uuid) as pod:
            check_idle(pod)

    def apply(self, host: Host) -> None:
        """Raises Conflict, NotFound, HostFailure."""
        from .gc import remove

        with open_pod(host.paths, self.uuid) as pod:
            remove(host, pod)


def ensure_new_pod(
    wanted: Preparation | None,
    name: str,
    on_created: Callable[[str], None],
    hand_over: Callable[[Pod], None],
    *,
    runs: bool,
) -> Plan[None]:
    """Plan: there is a new pod. name: "" for none. The others are of PreparePod."""
    difference = Difference(f"pods.{name}" if name else "pods", None, "running" if runs else "prepared")
    subject = f'pod "{name}"' if name else "a new pod"
    yield PreparePod(subject, (difference,), wanted, runs, on_created, hand_over)


def ensure_started(host: Host, name: str, hand_over: Callable[[Pod], None]) -> Plan[None]:
    """Plan: the pod of a name runs. hand_over: of StartAgain. Raises NotFound, and Conflict when it runs already."""
    from .start import check_startable

    with lookup.by_name(host.paths, name) as pod:
        check_startable(pod, name)
        before, uuid = pod.state().value, pod.uuid
    difference = Difference(f"pods.{name}.state", before, "running")
    yield StartAgain(f'pod "{name}"', (difference,), name, uuid, hand_over)


def ensure_signalled(host: Host, pod: Pod, *, force: bool) -> Plan[None]:
    """Plan: a running pod is asked to stop. Raises Conflict for one that has never run."""
    state = pod.state()
    if state in _NEVER_RAN:
        raise Conflict(f'pod "{pod.uuid}" is not running')
    if state is PodState.RUNNING:
        difference = Difference(f"{_path(host, pod)}.state", state.value, "stopped", "playbook", "restart")
        yield SignalPod(f'pod "{pod.uuid}"', (difference,), pod.uuid, force)


def ensure_deleted(host: Host, pod: Pod) -> Plan[None]:
    """Plan: nothing is left of a pod."""
    yield DeletePod(f'pod "{pod.uuid}"', (Difference(_path(host, pod), pod.state().value, None),), pod.uuid)


def _path(host: Host, pod: Pod) -> str:
    """The path of a pod in differences: by the name that means it, as in those of tasks, else by its UUID."""
    from .gc import current_name

    return f"pods.{current_name(host, pod) or pod.uuid}"


def _check_free(host: Host, name: str) -> None:
    if name and lookup.uuid_of_name(host.paths, name):
        raise Conflict(f'there is a pod of the name "{name}" already', f"podctl rm {name} removes it")


def _is_stopped_by_systemd(host: Host, pod: Pod) -> bool:
    if not host.runs_systemd:
        return False
    from .gc import name_of
    from .start import is_unit, stop_unit

    name = name_of(pod)
    if is_unit(host, pod, name) and _stays_stopped(pod):
        from .units import stay_stopped

        stay_stopped(host, name)
    return stop_unit(host, pod, name, wait=False)


def _stays_stopped(pod: Pod) -> bool:
    """Whether a pod that its user stops is to stay so after a boot; no if its manifest cannot be read."""
    from ..pod.restart import stays_stopped

    try:
        return stays_stopped(read_manifest(pod.dir))
    except (OSError, PodError):
        return False
