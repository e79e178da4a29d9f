# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The paths of everything on a host: each path of the project is a property here.

Paths are plain strings: pathlib would cost every start of podctl 10 ms.
"""

from __future__ import annotations

from ..value import Value
from .digests import sha256

STATES = ("embryo", "prepare", "prepared", "run", "exited-garbage", "garbage")


class Paths(Value):
    """The directories of an installation. All absolute.

    run and those after it are the host's: installations on one host share them. leases: where CNI's host-local plugin
    keeps the leases of networks. units: systemd's directory for units of the administrator. systemd: exists as long as
    systemd is PID 1. Source: behaviours E12, sd_booted(3).
    """

    data: str = "/var/lib/pods"
    local_config: str = "/etc/pods"
    system_config: str = "/usr/lib/pods"
    user_config: str = ""
    run: str = "/run/pods"
    leases: str = "/var/lib/cni/networks"
    units: str = "/etc/systemd/system"
    systemd: str = "/run/systemd/system"

    @property
    def cas(self) -> str:
        """Images by content."""
        return f"{self.data}/cas"

    @property
    def trees(self) -> str:
        """Rendered root file systems."""
        return f"{self.data}/tree"

    @property
    def pods(self) -> str:
        """The directories of the life cycle."""
        return f"{self.data}/pods"

    @property
    def names(self) -> str:
        """One file per pod name, holding a UUID."""
        return f"{self.data}/names"

    @property
    def volumes(self) -> str:
        """Named volumes."""
        return f"{self.data}/volumes"

    @property
    def old_leases(self) -> str:
        """The directory in which 0.1.0 looks for leases: a link to those of the host."""
        return f"{self.data}/net"

    @property
    def filters(self) -> str:
        """Compiled seccomp filters by content."""
        return f"{self.data}/filters"

    @property
    def runtimes(self) -> str:
        """Installed runtimes by content hash."""
        return f"{self.data}/runtime"

    @property
    def locks(self) -> str:
        """Locks that do not belong to a directory."""
        return f"{self.data}/locks"

    @property
    def private(self) -> tuple[str, ...]:
        """The directories in the data directory that only root can read: all but the runtimes."""
        return (
            self.cas,
            self.trees,
            self.pods,
            self.names,
            self.volumes,
            self.filters,
            self.locks,
        )

    @property
    def host_locks(self) -> str:
        """Locks of what all installations on the host share."""
        return f"{self.run}/locks"

    @property
    def holders(self) -> str:
        """One link for each pod that holds resources of the host's networks, to its data directory.

        Installations that share no leases, such as those of tests, do not share these either.
        """
        if self.leases == Paths.leases:
            return f"{self.run}/holders"
        return f"{self.run}/holders-{sha256(self.leases.encode()).hexdigest()[:16]}"

    @property
    def localnet(self) -> str:
        """Marks of foreign bridges that have route_localnet because of pods."""
        return f"{self.run}/localnet"

    @property
    def pid_files(self) -> str:
        """One file per named pod that a service manager watches, holding the PID of its supervisor."""
        return f"{self.run}/pids"

    def unread_unit(self, pod_name: str) -> str:
        """Present while the unit of a named pod has changed and systemd may not have read it; a boot reads all."""
        return f"{self.pid_files}/{pod_name}.unread"

    @property
    def config_dirs(self) -> tuple[str, ...]:
        """Configuration directories, lowest priority first."""
        return tuple(path for path in (self.system_config, self.local_config, self.user_config) if path)

    def state(self, state_dir: str) -> str:
        """The directory of one of STATES."""
        return f"{self.pods}/{state_dir}"

    def pod(self, state_dir: str, uuid: str) -> PodDir:
        """The directory of a pod in one of STATES."""
        return PodDir(f"{self.pods}/{state_dir}/{uuid}")

    def name(self, pod_name: str) -> str:
        """The file that holds the UUID of a named pod."""
        return f"{self.names}/{pod_name}"

    def holder(self, uuid: str) -> str:
        """The link of a pod that holds resources of the host's networks, to its data directory."""
        return f"{self.holders}/{uuid}"

    def volume(self, name: str) -> str:
        """The directory of a named volume: data/ and volume.json."""
        return f"{self.volumes}/{name}"

    def volume_data(self, name: str) -> str:
        """The directory of a named volume that pods mount."""
        return f"{self.volume(name)}/data"

    def tree(self, tree_id: str) -> str:
        """The directory of a rendered tree."""
        return f"{self.trees}/{tree_id}"


class PodDir(Value):
    """The files of one pod. Source of the layout: rkt, behaviours D6 and D7; docs/devel/on-disk-format.md."""

    path: str

    @property
    def manifest(self) -> str:
        """The pod manifest."""
        return f"{self.path}/pod"

    @property
    def runspec(self) -> str:
        """The run spec, for what is not in the appc manifest: networks, hostname, dns."""
        return f"{self.path}/runspec"

    @property
    def runtime(self) -> str:
        """The content hash of the runtime that the pod was prepared with."""
        return f"{self.path}/runtime"

    @property
    def created(self) -> str:
        """Its mtime is when the pod was created."""
        return f"{self.path}/pod-created"

    @property
    def stopped(self) -> str:
        """Present when a task has stopped the pod."""
        return f"{self.path}/stopped"

    @property
    def overlay_prepared(self) -> str:
        """Present when the pod's roots are overlays."""
        return f"{self.path}/overlay-prepared"

    @property
    def overlay_disabled(self) -> str:
        """The reason why the pod's roots are copies although overlays were wanted."""
        return f"{self.path}/overlay-disabled"

    @property
    def shared_volumes(self) -> str:
        """Empty volumes."""
        return f"{self.path}/sharedVolumes"

    @property
    def net_confs(self) -> str:
        """Copies of the network configurations in use."""
        return f"{self.path}/net"

    @property
    def net_info(self) -> str:
        """The results of the network plugins."""
        return f"{self.path}/net-info.json"

    @property
    def subcgroup(self) -> str:
        """The pod's cgroup, relative to the root of a hierarchy."""
        return f"{self.path}/subcgroup"

    @property
    def pid(self) -> str:
        """The PID of the pod's PID 1 as the host sees it; its mtime is when the pod started."""
        return f"{self.path}/pid"

    @property
    def stage1_root(self) -> str:
        """The root directory of stage1."""
        return f"{self.path}/stage1/rootfs"

    @property
    def statuses(self) -> str:
        """One file per app that has ended: its exit status in decimal."""
        return f"{self.stage1_root}/rkt/status"

    @property
    def supervisor_status(self) -> str:
        """A symlink to "ready" once every app has been started."""
        return f"{self.stage1_root}/rkt/supervisor-status"

    @property
    def failure(self) -> str:
        """The error of the last entry of stage1 that failed, see pod.failure."""
        return f"{self.stage1_root}/rkt/failure.json"

    @property
    def logs(self) -> str:
        """One file per app, APP.log, and its rotated older ones, APP.log.1 and so on."""
        return f"{self.path}/logs"

    def app_info(self, app: str) -> str:
        """The documents of an app: manifest, treeStoreID, lower, filter."""
        return f"{self.path}/appsinfo/{app}"

    def app_manifest(self, app: str) -> str:
        """The image manifest that the app was prepared from."""
        return f"{self.app_info(app)}/manifest"

    def app_tree_id(self, app: str) -> str:
        """The ID of the tree of the app's root."""
        return f"{self.app_info(app)}/treeStoreID"

    def app_lower(self, app: str) -> str:
        """The lower directories of the app's overlay, topmost first, one per line."""
        return f"{self.app_info(app)}/lower"

    def app_filter(self, app: str) -> str:
        """The app's compiled seccomp filter; absent when it has none."""
        return f"{self.app_info(app)}/filter"

    def app_stage2_manifest(self, app: str) -> str:
        """The same manifest beside the app's root, where stage1 images look for it."""
        return f"{self.stage1_root}/opt/stage2/{app}/manifest"

    def app_root(self, app: str) -> str:
        """The app's root file system, once mounted."""
        return f"{self.stage1_root}/opt/stage2/{app}/rootfs"

    def app_env(self, app: str) -> str:
        """The app's environment: NAME=VALUE, each ended by a NUL character."""
        return f"{self.stage1_root}/rkt/env/{app}"

    def app_status(self, app: str) -> str:
        """The app's exit status."""
        return f"{self.statuses}/{app}"

    def app_end(self, app: str) -> str:
        """More about the app's end than its status, as words: signal, if the status is the number of one; oom."""
        return f"{self.statuses}/{app}.end"

    def app_log(self, app: str) -> str:
        """The newest log of the app."""
        return f"{self.logs}/{app}.log"

    def overlay(self, tree_id: str, app: str) -> tuple[str, str]:
        """The upper and the work directory of an app's overlay."""
        base = f"{self.path}/overlay/{tree_id}"
        return f"{base}/upper/{app}", f"{base}/work/{app}"

    def volume(self, name: str) -> str:
        """The directory of an empty volume."""
        return f"{self.shared_volumes}/{name}"
