# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The paths of everything on a host: no path of the project is put together anywhere else.

Paths are plain strings: pathlib would cost every start of podctl 10 ms.
"""

from __future__ import annotations

from ..value import Value
from .digests import sha256
from .dirs import LAYERS, PodDir, TreeDir

_AT_BOOT = "multi-user.target.wants"
# Beneath a configuration directory.
NET_D, PATHS_D, TRUST_D = "net.d", "paths.d", "trust.d"
TRUSTED_KEYS = "trustedkeys"

# The units of the metadata service, which no pod can have: theirs begin with pod-.
MDS_SERVICE, MDS_SOCKET = "pods-metadata.service", "pods-metadata.socket"
STATES = ("embryo", "prepare", "prepared", "run", "exited-garbage", "garbage")


def unit_name(pod_name: str) -> str:
    """What systemd calls the unit of a named pod."""
    return f"pod-{pod_name}.service"


def is_unit_name(name: str) -> bool:
    """Whether a file is called as units of pods are."""
    return name.startswith("pod-") and name.endswith(".service")


def file_of_runtime(runtime: str, name: str) -> str:
    """A file of podrt in the directory of a runtime."""
    return f"{runtime}/podrt/{name}"


def podctl_of(python: str, runtime: str) -> tuple[str, ...]:
    """The argv of a runtime's podctl, without arguments: isolated, without site, from compiled files."""
    return (python, "-I", "-S", file_of_runtime(runtime, "launch.py"))


class Paths(Value):
    """The directories of an installation. All absolute.

    run and those after it are the host's: installations on one host share them. leases: where CNI's host-local plugin
    keeps the leases of networks. units: systemd's directory for units of the administrator. systemd: exists as long as
    systemd is PID 1. log: the socket of the system's log. Source: behaviours E12, sd_booted(3).
    """

    data: str = "/var/lib/pods"
    local_config: str = "/etc/pods"
    system_config: str = "/usr/lib/pods"
    user_config: str = ""
    run: str = "/run/pods"
    leases: str = "/var/lib/cni/networks"
    units: str = "/etc/systemd/system"
    systemd: str = "/run/systemd/system"
    log: str = "/dev/log"

    @property
    def cas(self) -> str:
        """Images by content."""
        return f"{self.data}/cas"

    @property
    def index(self) -> str:
        """What is known of each image."""
        return f"{self.cas}/index"

    def index_entry(self, image_id: str) -> str:
        """What is known of an image."""
        return f"{self.index}/{image_id}"

    def blobs(self, kind: str) -> str:
        """The archives of images, kind "blob", or their manifests, kind "imageManifest"."""
        return f"{self.cas}/{kind}"

    def blob(self, image_id: str) -> str:
        """The archive of an image."""
        return f"{self.blobs('blob')}/sha512/{image_id[7:9]}/{image_id}"

    def image_manifest(self, image_id: str) -> str:
        """The manifest of an image."""
        return f"{self.blobs('imageManifest')}/sha512/{image_id[7:9]}/{image_id}"

    @property
    def remotes(self) -> str:
        """Which image each source has given."""
        return f"{self.cas}/remote"

    def remote(self, name: str) -> str:
        """Which image a source has given."""
        return f"{self.remotes}/{name}"

    @property
    def pins(self) -> str:
        """The images that stay whether pods need them or not."""
        return f"{self.cas}/pins"

    def pin(self, name: str) -> str:
        """The image that a source means, which stays."""
        return f"{self.pins}/{name}"

    @property
    def image_locks(self) -> str:
        """Locks of images and layers, turns of fetches, and the lock of the whole store."""
        return f"{self.cas}/imagelocks"

    @property
    def store_lock(self) -> str:
        """The lock of the whole store."""
        return f"{self.image_locks}/store"

    def image_lock(self, image_id: str) -> str:
        """The lock of an image's archive."""
        return f"{self.image_locks}/{image_id}"

    def layer_lock(self, name: str) -> str:
        """The lock of a layer, by the name of its directory."""
        return f"{self.image_locks}/layer-{name}"

    def turn(self, digest: str) -> str:
        """The lock of what one process does for all that want it, by a digest of what that is."""
        return f"{self.image_locks}/turn-{digest}"

    @property
    def tree_locks(self) -> str:
        """Locks of trees."""
        return f"{self.cas}/treestorelocks"

    def tree_lock(self, tree_id: str) -> str:
        """The lock of a tree that is made or removed."""
        return f"{self.tree_locks}/{tree_id}"

    @property
    def workspaces(self) -> str:
        """Where something is made before it is renamed into the store."""
        return f"{self.cas}/tmp"

    @property
    def stagings(self) -> str:
        """Files that controllers send, until all of one is there and its image is in the store."""
        return f"{self.cas}/staging"

    def staging(self, digest: str) -> str:
        """What has come of such a file, by its digest."""
        return f"{self.stagings}/{digest}"

    def staged_content(self, digest: str) -> str:
        """The file, as far as it has come."""
        return f"{self.staging(digest)}/content"

    def staged_piece(self, digest: str, begin: int) -> str:
        """There once the piece of it that begins here has come and is verified."""
        return f"{self.staging(digest)}/{begin}"

    @property
    def partials(self) -> str:
        """What has come of downloads that were killed or broken."""
        return f"{self.cas}/partial"

    def partial(self, name: str) -> str:
        """What has come of one of them."""
        return f"{self.partials}/{name}"

    def partial_body(self, name: str) -> str:
        """Its bytes so far."""
        return f"{self.partial(name)}/body"

    def partial_answer(self, name: str) -> str:
        """What the server has said of them."""
        return f"{self.partial(name)}/answer"

    @property
    def trees(self) -> str:
        """Rendered root file systems."""
        return f"{self.data}/tree"

    @property
    def layers(self) -> str:
        """Unpacked layers."""
        return f"{self.trees}/{LAYERS}"

    def layer(self, name: str) -> TreeDir:
        """The directory of a layer."""
        return TreeDir(f"{self.layers}/{name}")

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
    def fingerprint_key(self) -> str:
        """The key of the fingerprints that stand for secrets."""
        return f"{self.data}/fingerprint.key"

    @property
    def locks(self) -> str:
        """Locks that do not belong to a directory."""
        return f"{self.data}/locks"

    def name_lock(self, pod_name: str) -> str:
        """The lock of a name, held while its pod is changed."""
        return f"{self.locks}/name-{pod_name}"

    def start_lock(self, pod_name: str) -> str:
        """The lock of a name, held while its pod is made ready to start."""
        return f"{self.locks}/start-{pod_name}"

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

        Installations that share no leases, such as those of tests, do not share these either. Programs of networks
        may be the same: see holders_apart.
        """
        return self._by_leases("holders")

    def holders_apart(self, name: str) -> str:
        """The holders of installations with other leases. name: holders, or holders-DIGEST."""
        return f"{self.run}/{name}"

    @property
    def name_lists(self) -> str:
        """One list for each network of the pods that have names there; shared, or not, as those links are."""
        return self._by_leases("names")

    def _by_leases(self, name: str) -> str:
        if self.leases == Paths.leases:
            return f"{self.run}/{name}"
        return f"{self.run}/{name}-{sha256(self.leases.encode()).hexdigest()[:16]}"

    def name_list(self, file: str) -> str:
        """The list of one network, see net.name_list."""
        return f"{self.name_lists}/{file}"

    @property
    def published_names(self) -> str:
        """Where the names of pods are for resolvers of the host, if the administrator has made it."""
        return self._by_leases("hosts")

    def published_list(self, file: str) -> str:
        """The names of one network there."""
        return f"{self.published_names}/{file}"

    @property
    def subordinate_ids(self) -> str:
        """The IDs of users and groups that pods of the host have for their own users.

        Installations that share no leases, such as those of tests, do not share these either.
        """
        if self.leases == Paths.leases:
            return "/var/lib/misc/pods-subids.json"
        return f"{self.leases}-subids.json"

    @property
    def subordinate_ids_lock(self) -> str:
        """The lock of that file."""
        return f"{self.host_locks}/subordinate-ids"

    @property
    def localnet(self) -> str:
        """Marks of foreign bridges that have route_localnet because of pods."""
        return f"{self.run}/localnet"

    def localnet_mark(self, namespace: int, link: str) -> str:
        """The mark of a bridge in a network namespace."""
        return f"{self.localnet}/{namespace}-{link}"

    @property
    def pid_files(self) -> str:
        """One file per named pod that a service manager watches, holding the PID of its supervisor."""
        return f"{self.run}/pids"

    def pid_file(self, pod_name: str) -> str:
        """The PID of the supervisor of a named pod."""
        return f"{self.pid_files}/{pod_name}.pid"

    def unread_unit(self, pod_name: str) -> str:
        """Present while the unit of a named pod has changed and systemd may not have read it; a boot reads all."""
        return f"{self.pid_files}/{pod_name}.unread"

    @property
    def mds_socket(self) -> str:
        """The socket on which pods are registered with the metadata service. Source: behaviours F1."""
        return f"{self.run}/metadata-svc.sock"

    @property
    def mds_pid(self) -> str:
        """The PID of the metadata service, which holds a lock on this file."""
        return f"{self.run}/metadata-svc.pid"

    @property
    def mds_log(self) -> str:
        """What the metadata service says where no service manager keeps it."""
        return f"{self.run}/metadata-svc.log"

    @property
    def mds_old_log(self) -> str:
        """What it has said before, once that file was full."""
        return f"{self.mds_log}.1"

    @property
    def config_dirs(self) -> tuple[str, ...]:
        """Configuration directories, lowest priority first."""
        return tuple(path for path in (self.system_config, self.local_config, self.user_config) if path)

    @property
    def stage1_images(self) -> str:
        """The directory of stage1 images, unless another one is configured."""
        return f"{self.system_config}/stage1-images"

    def auth(self, config_dir: str) -> str:
        """The directory of documents with credentials in a configuration directory."""
        return f"{config_dir}/auth.d"

    def login(self, registry: str) -> str:
        """The document with the credentials of a registry that pod_login writes."""
        return f"{self.auth(self.local_config)}/login-{registry}.json"

    @property
    def trust_dirs(self) -> tuple[str, ...]:
        """The configuration directories that have trusted keys, lowest priority first. Source: behaviours B30."""
        return (self.system_config, self.local_config)

    def trusted_keys(self, config_dir: str, prefix: str) -> str:
        """The directory of the keys for a prefix of image names, in a configuration directory; "" for root keys."""
        below = f"prefix.d/{prefix}" if prefix else "root.d"
        return f"{self.trusted(config_dir)}/{below}"

    def trusted(self, config_dir: str) -> str:
        """The directory of all trusted keys in a configuration directory."""
        return f"{config_dir}/{TRUSTED_KEYS}"

    def trusted_key(self, config_dir: str, prefix: str, fingerprint: str) -> str:
        """The file of one of them: a key, or empty where the key is not to be trusted."""
        return f"{self.trusted_keys(config_dir, prefix)}/{fingerprint}"

    def image_policies(self, config_dir: str) -> str:
        """The directory of the policies for images of docker registries, in a configuration directory."""
        return f"{config_dir}/{TRUST_D}"

    def image_policy(self, config_dir: str, prefix: str) -> str:
        """The file that is written for the policy of a prefix of names, "" for all. No name has a comma."""
        return f"{self.image_policies(config_dir)}/{prefix.replace('/', ',') or 'default'}.json"

    def networks(self, config_dir: str) -> str:
        """The directory of network configurations in a configuration directory."""
        return f"{config_dir}/{NET_D}"

    def network(self, name: str) -> str:
        """The file that a task writes for a network of this host."""
        return f"{self.networks(self.local_config)}/50-{name}.conf"

    def network_list(self, name: str) -> str:
        """The same of a network that is a chain of plugins."""
        return f"{self.networks(self.local_config)}/50-{name}.conflist"

    @property
    def plugin_dirs(self) -> tuple[str, ...]:
        """Where programs of network plugins are that go before what is built in. Source: behaviours E9."""
        return (f"{self.local_config}/{NET_D}", f"{self.system_config}/plugins/net")

    @property
    def cni_dirs(self) -> tuple[str, ...]:
        """Where CNI's own programs are: for types that are not built in."""
        return ("/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni")

    @property
    def mds_units(self) -> tuple[str, str]:
        """The units of the metadata service: the service, and its socket."""
        return f"{self.units}/{MDS_SERVICE}", f"{self.units}/{MDS_SOCKET}"

    @property
    def enabled_mds(self) -> str:
        """A link to the socket, there when it is opened at boot."""
        return f"{self.units}/sockets.target.wants/{MDS_SOCKET}"

    @property
    def mds_unread(self) -> str:
        """Present while these units have changed and systemd may not have read them."""
        return f"{self.run}/metadata-svc.unread"

    @property
    def cni_results(self) -> str:
        """Where CNI's library keeps what it has attached, for any engine that uses it."""
        return "/var/lib/cni/results"

    @property
    def cni_dhcp(self) -> str:
        """The socket of CNI's daemon for leases of DHCP servers, where that runs."""
        return "/run/cni/dhcp.sock"

    def unit(self, pod_name: str) -> str:
        """The name of the unit of a named pod."""
        return f"{self.units}/{unit_name(pod_name)}"

    def socket_unit(self, pod_name: str) -> str:
        """The name of a unit of the administrator, whose sockets systemd passes to a named pod."""
        return f"{self.units}/pod-{pod_name}.socket"

    def enabled_unit(self, pod_name: str) -> str:
        """A link to the unit of a named pod, there when it is started at boot."""
        return f"{self.units}/{_AT_BOOT}/{unit_name(pod_name)}"

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

    def volume_document(self, name: str) -> str:
        """What was asked for of a named volume."""
        return f"{self.volume(name)}/volume.json"

    def volume_data(self, name: str) -> str:
        """The directory of a named volume that pods mount."""
        return f"{self.volume(name)}/data"

    def tree(self, tree_id: str) -> TreeDir:
        """The directory of a rendered tree."""
        return TreeDir(f"{self.trees}/{tree_id}")
