# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Preparation of a pod's directory: everything that stage1 needs, complete before anything runs.

Source: rkt stage0/run.go Prepare; behaviours C1, D3, D6.
"""

from __future__ import annotations

import os

from ..appc.isolators import CONFINEMENT, Sysctl
from ..appc.volumes import HostVolume, NamedVolume
from ..errors import HostFailure, NotFound, Unsupported
from ..host.dirs import PodDir
from ..host.files import entries_if_any, is_real_dir, make_dirs, write_new
from ..host.reading import WORD, read_bytes, read_text, read_text_or
from ..pod import documents, lookup
from ..pod.lifecycle import create, open_pod
from ..pod.limits import names_disks
from ..pod.runspec import TIMEZONE
from ..seccomp import files as filter_files
from ..seccomp.filters import compile_filter
from ..store import index, trees
from ..store.locks import adding
from ..store.trees import RenderedImage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..appc.image import Image
    from ..appc.pod import PodManifest, RuntimeApp
    from ..host.host import Host
    from ..pod.lifecycle import Pod
    from ..pod.runspec import RunSpec
    from ..pod.subids import IdRange
    from .manifest import Preparation


def prepare(
    host: Host,
    wanted: Preparation,
    on_created: Callable[[str], None] | None = None,
    kin: Pod | None = None,
) -> Pod:
    """Make a new pod with all its documents, locked, in prepare; finish it with commit or move it to run.

    on_created is called with the UUID as soon as the directory exists. kin: a pod whose private users it shares. A
    failure leaves nothing but a pod that the next gc removes. Raises the errors of what it calls.
    """
    check_sources(host, wanted.manifest, own_users=wanted.runspec.private_users)
    with adding(host.paths):
        pod = create(host.paths)
        try:
            if on_created:
                on_created(pod.uuid)
            _write(host, pod, wanted, kin)
        except BaseException:
            pod.discard()
            if wanted.runspec.private_users:
                from ..pod.subids import free

                free(host.paths, pod.uuid)
            raise
    return pod


def commit(pod: Pod) -> None:
    """Move a pod from prepare to prepared, synced to disk, and release its lock. A failure leaves nothing."""
    from ..host.syscalls import syncfs  # ctypes: a task with nothing to do does not need it

    try:
        syncfs(pod.fd)
        pod.move("prepared")
    except BaseException:
        pod.discard()
        raise
    pod.close()


def give_name(host: Host, name: str, uuid: str) -> None:
    """Let a name mean a pod that has just been prepared. A failure leaves nothing of the pod."""
    try:
        lookup.set_name(host.paths, name, uuid)
    except BaseException:
        pod = open_pod(host.paths, uuid)
        if pod.lock():
            pod.discard()
        raise


def notes_of_preparation(pod: PodDir) -> tuple[str, ...]:
    """Notes for the user about how a pod was prepared. Source: behaviours A22."""
    reason = read_text_or(pod.overlay_disabled, "", beneath=pod.path)
    return (f'disabling overlay support: "{reason}"',) if reason else ()


def check_sources(host: Host, manifest: PodManifest, *, own_users: bool = False) -> None:
    """Raise unless the host has what the apps name: the sources of volumes that they mount, disks, profiles, time
    zones, processors, sysctls; and with own_users users for the pod, who can be shown those volumes.

    Source: behaviours A30.
    """
    isolators = [
        *manifest.isolators,
        *(each for app in manifest.apps if app.app for each in app.app.isolators),
    ]
    if any(each.name.startswith("os/linux/cpuset-") for each in isolators):
        from ..pod.disks import check_cpusets

        check_cpusets(manifest)
    if names_disks(manifest):
        from ..pod.disks import find_disks

        find_disks(manifest)
    for sysctl in (each for each in manifest.isolators if isinstance(each, Sysctl)):
        from ..pod.sysctls import check_known

        check_known(sysctl)
    if any(each.name in CONFINEMENT for each in isolators):
        from .security import check_confinement

        check_confinement(host, manifest)
    if any(app.annotations.get(TIMEZONE) for app in manifest.apps):
        from ..pod.timezone import check_zones

        check_zones(manifest)
    _check_volumes(host, manifest)
    if own_users:
        from ..pod.subids import check_supported

        check_supported()
    if any(app.mounts for app in manifest.apps):
        _check_owners(manifest, own_users=own_users)


def _check_volumes(host: Host, manifest: PodManifest) -> None:
    mounted = {mount.volume for app in manifest.apps for mount in app.mounts}
    for at, volume in enumerate(manifest.volumes):
        if not isinstance(volume, (HostVolume, NamedVolume)) or volume.name not in mounted:
            continue
        if os.path.exists(volume.source):
            continue
        where = f"volumes[{at}]"
        if isinstance(volume, NamedVolume):
            raise _no_volume(volume.volume, f"{where}.volume")
        from .sameness import named_by_place

        name = named_by_place(host.paths, volume)
        raise _no_volume(name, f"{where}.source") if name else _no_source(volume.source, f"{where}.source")


def _check_owners(manifest: PodManifest, *, own_users: bool) -> None:
    from ..pod.idmaps import check_propagation, mount_owners
    from ..pod.subids import COUNT, IdRange

    for app in manifest.apps:
        check_propagation(manifest, app, own_users=own_users)
        if own_users:
            mount_owners(manifest, app, IdRange(COUNT))  # whichever range it gets


def _no_volume(name: str, where: str) -> NotFound:
    task = f"- stagecraft.pods.pod_volume: {{name: {name}}}"
    return NotFound(f'there is no volume "{name}"', f"make it first, with a task: {task}", where=where)


def _no_source(source: str, where: str) -> NotFound:
    err = NotFound(
        f"Failed to stat {source}: No such file or directory",
        "make the source of the volume first",
        where=where,
    )
    err.exit_code = 1
    return err


def reprepare(host: Host, old: Pod) -> Pod:
    """Prepare a new pod from the documents of an old one; nothing is fetched.

    The contents of the old pod's roots and empty volumes stay with the old pod. Raises Corrupt, NotFound, HostFailure.
    """
    if os.path.lexists(old.dir.replaced):
        from .replaced import settle_if_left  # only after a crash

        settle_if_left(host, old)
    with adding(host.paths):
        pod = create(host.paths)
        try:
            _write_again(host, old, pod)
        except BaseException:
            pod.discard()
            raise
    commit(pod)
    return pod


def _write_again(host: Host, old: Pod, pod: Pod) -> None:
    manifest, runspec = documents.read_manifest(old.dir), documents.read_runspec(old.dir)
    users = _shared_range(host, old, pod) if runspec.private_users else None
    _write_documents(host, pod, manifest, runspec, users)
    _write_stage1_again(host, old, pod)
    if os.path.isdir(old.dir.volume_infos):
        from .image_volumes import write_images_again

        write_images_again(host, old, pod, users)
    for app in manifest.apps:
        _copy_app_info(old, pod, app.name)
        write_filter(host, pod, app, insecure="seccomp" in app.waived(runspec.insecure))
        _check_lower(pod, app.name)
        _prepare_root(host, pod, app.name, users)


def _new_range(host: Host, pod: Pod) -> IdRange:
    from ..pod.subids import allocate  # most pods have the host's users

    return allocate(host.paths, pod.uuid)


def _range_of(pod: Pod) -> IdRange | None:
    from ..pod.subids import range_of

    return range_of(pod.dir)


def _shared_range(host: Host, old: Pod, pod: Pod) -> IdRange | None:
    """The range of an old pod, which is on record for a new one as well. Raises PodError, OSError."""
    from ..pod.subids import share

    users = _range_of(old)
    if users:
        share(host.paths, pod.uuid, users)
    return users


def write_app(host: Host, pod: Pod, app: RuntimeApp, image: Image, prefill: list[str]) -> None:
    """Write all of one app into the directory of a pod that is there. Raises PodError."""
    runspec = documents.read_runspec(pod.dir)
    users = _range_of(pod) if runspec.private_users else None
    try:
        with adding(host.paths):
            _write_app(host, pod, app, image, runspec)
            _prepare_root(host, pod, app.name, users)
            write_new(pod.dir.app_prefill(app.name), "\n".join(prefill).encode())
    except OSError as err:
        raise HostFailure.of(f'cannot prepare app "{app.name}"', err) from err


def _write_documents(
    host: Host, pod: Pod, manifest: PodManifest, runspec: RunSpec, users: IdRange | None
) -> None:
    documents.write_manifest(pod.dir, manifest)
    documents.write_runspec(pod.dir, runspec)
    if users:
        write_new(pod.dir.private_users, f"{users}\n".encode())
    write_new(pod.dir.runtime, host.runtime.encode())
    if runspec.overlay:
        from ..host.overlayfs import why_no_overlay

        why_not = host.ask(why_no_overlay, host.paths.data)
        if why_not:
            write_new(pod.dir.overlay_disabled, why_not.encode())
        else:
            write_new(pod.dir.overlay_prepared, b"")


def _write(host: Host, pod: Pod, wanted: Preparation, kin: Pod | None) -> None:
    manifest, runspec = wanted.manifest, wanted.runspec
    try:
        users = None
        if runspec.private_users:
            users = _shared_range(host, kin, pod) if kin else _new_range(host, pod)
        if any(exposed.is_open for exposed in manifest.ports):
            from .auto_ports import settled

            with settled(host, manifest, runspec.name or pod.uuid) as complete:
                _write_documents(host, pod, complete, runspec, users)
        else:
            _write_documents(host, pod, manifest, runspec, users)
        if wanted.stage1:
            _write_stage1(host, pod, wanted.stage1)
        if wanted.volume_images:
            from .image_volumes import write_images

            write_images(host, pod, manifest.volumes, wanted.volume_images, users)
        for app, image in zip(manifest.apps, wanted.images):
            _write_app(host, pod, app, image, runspec)
            _prepare_root(host, pod, app.name, users)
            prefill = [str(volume) for name, volume in wanted.prefill if name == app.name]
            write_new(pod.dir.app_prefill(app.name), "\n".join(prefill).encode())
    except OSError as err:
        raise HostFailure.of(f'cannot prepare pod "{pod.uuid}"', err) from err


def _write_stage1(host: Host, pod: Pod, image: Image) -> None:
    """Copy the tree of a stage1 image to where stage1 is, with its manifest beside it. Source: behaviours D6."""
    make_dirs(pod.dir.stage1_root, 0o755)
    index.link_manifest(host.paths, image, pod.dir.stage1_manifest)
    index.touch(host.paths, image.id)
    tree = _rendered(host, image).tree
    write_new(pod.dir.stage1_tree_id, tree.encode())
    _copy_stage1(host, pod, tree)


def _write_stage1_again(host: Host, old: Pod, pod: Pod) -> None:
    try:
        tree = trees.TreeID.parse(read_text(old.dir.stage1_tree_id, beneath=old.dir.path))
    except FileNotFoundError:
        return
    make_dirs(pod.dir.stage1_root, 0o755)
    write_new(pod.dir.stage1_manifest, read_bytes(old.dir.stage1_manifest, beneath=old.dir.path))
    write_new(pod.dir.stage1_tree_id, tree.encode())
    _copy_stage1(host, pod, tree)


def _copy_stage1(host: Host, pod: Pod, tree: trees.TreeID) -> None:
    """Copy the tree. Raises Unsupported where it has anything but directories in the places of the pod's files."""
    trees.copy_tree(host.paths, tree, pod.dir.stage1_root)
    place = pod.dir
    own = (place.stage1_files, place.statuses, place.environments, os.path.dirname(place.stage1_given[0]))
    for path in (*own, os.path.dirname(place.app_dirs), place.app_dirs):
        if os.path.lexists(path) and not is_real_dir(path):
            inside = path[len(place.stage1_root) :]
            raise Unsupported(
                f"the stage1 image cannot be used: its {inside} is no directory",
                "pods have files of their own there",
            )
    if entries_if_any(place.app_dirs):
        raise Unsupported(
            "the stage1 image cannot be used: it has files where the roots of apps are",
            "the image must leave /opt/stage2 empty",
        )


def _write_app(host: Host, pod: Pod, app: RuntimeApp, image: Image, runspec: RunSpec) -> None:
    make_dirs(pod.dir.app_info(app.name))
    index.link_manifest(host.paths, image, pod.dir.app_manifest(app.name))
    index.touch(host.paths, image.id)
    rendered = _rendered(host, image)
    write_new(pod.dir.app_tree_id(app.name), rendered.tree.encode())
    write_new(pod.dir.app_lower(app.name), "\n".join(rendered.lower).encode())
    if runspec.own_hosts:
        _write_shipped_hosts(pod, app.name, rendered.lower)
    write_filter(host, pod, app, insecure="seccomp" in app.waived(runspec.insecure))


def _write_shipped_hosts(pod: Pod, app: str, lower: Sequence[str]) -> None:
    """Copy the hosts file of an image, with which that of the app begins. An image may have anything in its place."""
    from ..store.layered import LayeredRoot  # podctl needs none

    try:
        shipped = LayeredRoot(lower).read("/etc/hosts")
    except OSError:
        return
    if len(shipped) <= WORD:
        write_new(pod.dir.app_shipped_hosts(app), shipped)


def _rendered(host: Host, image: Image) -> RenderedImage:
    """An image with its tree: a collection may have taken either since it was planned. Raises NotFound, Corrupt."""
    if isinstance(image, RenderedImage) and trees.is_rendered(host.paths, image.tree):
        return image
    return trees.render(host.paths, index.get_image(host.paths, image.id))


def write_filter(host: Host, pod: Pod, app: RuntimeApp, *, insecure: bool) -> None:
    """Compile the filter of an app's system calls, or remove it where the app has none. Raises PodError, OSError."""
    compiled = compile_filter(host.paths, app.app, insecure=insecure, arch=host.arch) if app.app else None
    if compiled is not None:
        filter_files.write(pod.dir.app_filter(app.name), compiled)
    else:
        filter_files.remove(pod.dir.app_filter(app.name))


def _prepare_root(host: Host, pod: Pod, app: str, users: IdRange | None) -> None:
    """Make the directory of the app's root, with its manifest beside it; copy the tree where overlay is not used."""
    make_dirs(pod.dir.app_root(app), 0o755)
    os.link(pod.dir.app_manifest(app), pod.dir.app_stage2_manifest(app))
    if not os.path.exists(pod.dir.overlay_prepared):
        tree = read_text(pod.dir.app_tree_id(app), beneath=pod.dir.path)
        owner = users.shifted if users else None
        trees.copy_tree(host.paths, trees.TreeID.parse(tree), pod.dir.app_root(app), owner)


def _copy_app_info(old: Pod, new: Pod, app: str) -> None:
    make_dirs(new.dir.app_info(app))
    optional = (PodDir.app_prefill, PodDir.app_shipped_hosts)
    for place in (PodDir.app_manifest, PodDir.app_tree_id, PodDir.app_lower, *optional):
        try:
            content = read_bytes(place(old.dir, app), beneath=old.dir.path)
            write_new(place(new.dir, app), content)
        except FileNotFoundError:
            if place not in optional:
                raise


def _check_lower(pod: Pod, app: str) -> None:
    for path in documents.read_lower(pod.dir, app):
        if not os.path.isdir(path):
            raise NotFound(
                f'cannot start app "{app}" again: its rendered image {path} is gone',
                "converge the pod again, or fetch its image",
            )
