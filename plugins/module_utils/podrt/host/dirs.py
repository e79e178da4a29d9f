# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The paths within the directory of a pod, a tree or a layer, which is created elsewhere, locked and renamed.

The names are those of docs/devel/on-disk-format.md.
"""

from __future__ import annotations

from ..value import Value

# Names in the stacks of trees, which are relative to the directory of all trees.
LAYERS, ROOT = "layers", "rootfs"


class TreeDir(Value):
    """A tree; or a layer, which has only root and rendered."""

    path: str

    @property
    def root(self) -> str:
        """The files; a tree has its own only where its layers alone are not enough."""
        return f"{self.path}/{ROOT}"

    @property
    def rendered(self) -> str:
        """Present when the directory is complete. Of a layer, its description."""
        return f"{self.path}/rendered"

    @property
    def stack(self) -> str:
        """The directories of the tree, topmost first, relative to the directory of all trees, one per line."""
        return f"{self.path}/stack"

    @property
    def layers(self) -> str:
        """The IDs of its layers, topmost first, one per line."""
        return f"{self.path}/layers"

    @property
    def manifest(self) -> str:
        """The manifest of the image of the tree."""
        return f"{self.path}/manifest"

    @property
    def image(self) -> str:
        """The ID of that image."""
        return f"{self.path}/image"

    @property
    def hash(self) -> str:
        """The checksum of all files."""
        return f"{self.path}/hash"

    @property
    def documents(self) -> tuple[str, ...]:
        """The files of a tree beside its root, in the order of their writing."""
        return (self.stack, self.layers, self.manifest, self.image, self.hash, self.rendered)


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
        """The directory of the runtime that the pod was prepared with."""
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
    def private_users(self) -> str:
        """The IDs of the host that the pod's own users have, as FIRST:COUNT; missing if it has the host's users."""
        return f"{self.path}/private-users-prepared"

    @property
    def shared_volumes(self) -> str:
        """Empty volumes."""
        return f"{self.path}/sharedVolumes"

    @property
    def netns(self) -> str:
        """The path of the pod's network namespace while it runs. Source: behaviours E8."""
        return f"{self.path}/netns"

    @property
    def net_confs(self) -> str:
        """Copies of the network configurations in use."""
        return f"{self.path}/net"

    @property
    def net_info(self) -> str:
        """The results of the network plugins."""
        return f"{self.path}/net-info.json"

    @property
    def net_kept(self) -> str:
        """The addresses that the pod gets again where they are free, one line each; most pods lack it."""
        return f"{self.path}/net-kept"

    @property
    def subcgroup(self) -> str:
        """The pod's cgroup, relative to the root of a hierarchy."""
        return f"{self.path}/subcgroup"

    @property
    def pid(self) -> str:
        """The PID of the pod's PID 1 as the host sees it; its mtime is when the pod started."""
        return f"{self.path}/pid"

    @property
    def ppid(self) -> str:
        """In place of pid: the PID of its parent, whose only child it is."""
        return f"{self.path}/ppid"

    @property
    def pgid(self) -> str:
        """The process group of a pod of fly."""
        return f"{self.path}/pgid"

    @property
    def cgroups(self) -> str:
        """The pod's control groups, one absolute path a line, one line a hierarchy."""
        return f"{self.path}/cgroups"

    @property
    def mds_registered(self) -> str:
        """The registration with the metadata service; missing where the pod has none. Source: behaviours D6."""
        return f"{self.path}/mds-registered"

    @property
    def stage1_root(self) -> str:
        """The root directory of stage1."""
        return f"{self.path}/stage1/rootfs"

    @property
    def stage1_manifest(self) -> str:
        """The manifest of the stage1 image; absent where stage1 is part of the runtime."""
        return f"{self.path}/stage1/manifest"

    @property
    def stage1_tree_id(self) -> str:
        """The ID of the tree that stage1's root is a copy of; absent with the manifest."""
        return f"{self.path}/stage1TreeStoreID"

    @property
    def stage1_given(self) -> tuple[str, str]:
        """The resolv.conf and the hosts file that a stage1 image is given where the pod has its own."""
        return f"{self.stage1_root}/etc/rkt-resolv.conf", f"{self.stage1_root}/etc/rkt-hosts"

    @property
    def stage1_log(self) -> str:
        """The output of a stage1 image that runs detached."""
        return f"{self.logs}/stage1.log"

    @property
    def stage1_files(self) -> str:
        """What stage1 writes."""
        return f"{self.stage1_root}/rkt"

    @property
    def statuses(self) -> str:
        """One file per app that has ended: its exit status in decimal."""
        return f"{self.stage1_files}/status"

    @property
    def supervisor_status(self) -> str:
        """A symlink to "ready" once every app has been started."""
        return f"{self.stage1_files}/supervisor-status"

    @property
    def failure(self) -> str:
        """The error of the last entry of stage1 that failed, see pod.failure."""
        return f"{self.stage1_files}/failure.json"

    @property
    def environments(self) -> str:
        """The environments of apps."""
        return f"{self.stage1_files}/env"

    @property
    def etc(self) -> str:
        """Files that apps see in /etc."""
        return f"{self.stage1_files}/etc"

    @property
    def resolv_conf(self) -> str:
        """The generated resolv.conf; it is missing if no settings are given."""
        return f"{self.etc}/resolv.conf"

    @property
    def hosts(self) -> str:
        """The generated hosts file; it is missing if the image's own or the host's is used."""
        return f"{self.etc}/hosts"

    @property
    def servers(self) -> str:
        """The resolv.conf with the name servers of the host; missing where the pod does not follow them."""
        return f"{self.etc}/servers"

    @property
    def hidden(self) -> str:
        """What lies over what apps must not see."""
        return f"{self.stage1_files}/hidden"

    @property
    def covers(self) -> tuple[str, str]:
        """An empty directory and an empty file."""
        return f"{self.hidden}/dir", f"{self.hidden}/file"

    @property
    def sockets(self) -> str:
        """The sockets that apps say READY=1 to, one an app."""
        return f"{self.stage1_files}/notify"

    @property
    def attachments(self) -> str:
        """The pipes of apps that can be attached to, see stage1.starter.attachable."""
        return f"{self.stage1_files}/attach"

    @property
    def shared(self) -> tuple[str, str, str]:
        """The /dev/shm, the /dev/pts and the /dev/mqueue of all apps."""
        place = f"{self.stage1_files}/shared"
        return f"{place}/shm", f"{place}/pts", f"{place}/mqueue"

    @property
    def device_nodes(self) -> str:
        """The devices of volumes in a pod with its own users, as nodes that belong to these."""
        return f"{self.stage1_files}/shared/devices"

    @property
    def shared_proc(self) -> str:
        """The /proc of the pod, for apps that are added."""
        return f"{self.stage1_files}/shared/procfs"

    @property
    def control(self) -> str:
        """The socket by which the pod's first process takes an app more, and lets one go."""
        return f"{self.stage1_files}/orders"

    @property
    def devices(self) -> str:
        """The devices that the pod's control groups allow, one rule a line; missing if they allow all."""
        return f"{self.path}/devices"

    @property
    def replaced(self) -> str:
        """The files of apps that are being replaced, laid out as this directory, until the new ones are up."""
        return f"{self.path}/replaced"

    @property
    def staged(self) -> str:
        """The UUID of the pod in which apps that are to come are prepared."""
        return f"{self.replaced}/staged"

    @property
    def traced(self) -> str:
        """Present when the start reckoned with an app that may trace others."""
        return f"{self.path}/traced"

    @property
    def logs(self) -> str:
        """One file per app, APP.log, and its rotated older ones, APP.log.1 and so on."""
        return f"{self.path}/logs"

    @property
    def app_infos(self) -> str:
        """What is known of each app."""
        return f"{self.path}/appsinfo"

    @property
    def volume_infos(self) -> str:
        """What is known of each volume that is an image."""
        return f"{self.path}/volumesinfo"

    @property
    def written(self) -> tuple[str, ...]:
        """What its apps have written, and find again in a pod that takes its place."""
        return (self.overlays, self.shared_volumes, self.logs, self.app_dirs)

    @property
    def stage1_dirs(self) -> tuple[str, ...]:
        """The directories that a start makes for stage1."""
        return (
            self.environments,
            self.statuses,
            self.etc,
            self.hidden,
            self.sockets,
            *self.shared,
            self.shared_proc,
            self.device_nodes,
        )

    def app_info(self, app: str) -> str:
        """What is known of an app: manifest, treeStoreID, lower, prefill, filter."""
        return f"{self.app_infos}/{app}"

    def app_manifest(self, app: str) -> str:
        """The image manifest that the app was prepared from."""
        return f"{self.app_info(app)}/manifest"

    def app_tree_id(self, app: str) -> str:
        """The ID of the tree of the app's root."""
        return f"{self.app_info(app)}/treeStoreID"

    def app_lower(self, app: str) -> str:
        """The lower directories of the app's overlay, topmost first, one per line."""
        return f"{self.app_info(app)}/lower"

    def app_prefill(self, app: str) -> str:
        """The names of implicit volumes that are filled from the image, one a line."""
        return f"{self.app_info(app)}/prefill"

    def app_filter(self, app: str) -> str:
        """The app's compiled seccomp filter; absent when it has none."""
        return f"{self.app_info(app)}/filter"

    def app_shipped_hosts(self, app: str) -> str:
        """The hosts file of the app's image; absent when it has none, or where the app has no file of its own."""
        return f"{self.app_info(app)}/hosts"

    def app_hosts(self, app: str) -> str:
        """The hosts file of an app that begins with that of its image and lists other pods, see net.slots."""
        return f"{self.etc}/{app}.hosts"

    @property
    def app_dirs(self) -> str:
        """The roots of apps."""
        return f"{self.stage1_root}/opt/stage2"

    def app_stage2_manifest(self, app: str) -> str:
        """The same manifest beside the app's root, where stage1 images look for it."""
        return f"{self.app_dirs}/{app}/manifest"

    def app_root(self, app: str) -> str:
        """The app's root file system, once mounted."""
        return f"{self.app_dirs}/{app}/{ROOT}"

    def app_env(self, app: str) -> str:
        """The app's environment: NAME=VALUE, each ended by a NUL character."""
        return f"{self.environments}/{app}"

    def app_status(self, app: str) -> str:
        """The app's exit status."""
        return f"{self.statuses}/{app}"

    def app_end(self, app: str) -> str:
        """More about the app's end than its status, as words: signal, if the status is the number of one; oom."""
        return f"{self.statuses}/{app}.end"

    def app_restarts(self, app: str) -> str:
        """The record of the restarts of an app with a policy: NAME=NUMBER words."""
        return f"{self.statuses}/{app}.restarts"

    def app_socket(self, app: str) -> str:
        """The socket that the app says READY=1 to."""
        return f"{self.sockets}/{app}"

    def attachment(self, app: str) -> str:
        """The directory of the pipes of an app."""
        return f"{self.attachments}/{app}"

    def app_log(self, app: str) -> str:
        """The newest log of the app."""
        return f"{self.logs}/{app}.log"

    @property
    def overlays(self) -> str:
        """What apps have written over their images."""
        return f"{self.path}/overlay"

    def overlay(self, tree_id: str, app: str) -> tuple[str, str]:
        """The upper and the work directory of an app's overlay."""
        base = f"{self.overlays}/{tree_id}"
        return f"{base}/upper/{app}", f"{base}/work/{app}"

    def shifted_layer(self, tree_id: str, app: str) -> str:
        """The layer over an app's image with the owners that its files have among the pod's own users."""
        return f"{self.overlays}/{tree_id}/shifted/{app}"

    def volume_tree_id(self, name: str) -> str:
        """The ID of the tree of a volume that is an image."""
        return f"{self.volume_infos}/{name}/treeStoreID"

    def volume_lower(self, name: str) -> str:
        """The directories of a volume that is an image, topmost first, one per line."""
        return f"{self.volume_infos}/{name}/lower"

    def image_volume(self, name: str) -> str:
        """A directory to mount the image of a volume on; its copy, in a pod without overlays."""
        return f"{self.volume_infos}/{name}/{ROOT}"

    def volume(self, name: str) -> str:
        """The directory of an empty volume."""
        return f"{self.shared_volumes}/{name}"
