# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl run and podctl prepare. Source: behaviours A11 to A28."""

from __future__ import annotations

import errno
import os
import stat

from ...errors import HostFailure, InvalidSpec
from ...host.files import write_all
from ...host.host import configures_stage1
from ...host.reading import read_given
from ...stage0.images import isolators_policy
from ...stage0.manifest import BeyondDefaults, UndescribedApp, build_manifest
from ...stage0.operations import ImageGone, ensure_new_pod
from ...stage0.preflight import check_start
from ...stage0.prepare import commit, notes_of_preparation
from .. import values
from ..grammar import CallerInputs, in_flags, in_words_of_flags, pod_spec, policy_of_image, policy_of_stage1
from ..plans import carry_out, ensure_image
from ..running import begin_run, check_service, run_pod

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ...appc.image import Image
    from ...pod.lifecycle import Pod
    from ...stage0.change import Plan
    from ...stage0.manifest import Preparation
    from ...stage0.spec import Pairs, PodSpec
    from ...stage0.stage1_images import FoundStage1
    from ...store.index import StoredImage
    from ..call import Call

_UUID_FILE_MODE = 0o644
_SAVE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NO_FILE = {errno.ELOOP: "it is a symbolic link", errno.ENXIO: "it is a named pipe or a socket"}


def run(call: Call) -> int:
    """Prepare a pod and run it in the foreground; returns its exit status."""
    pod = _prepared(call, runs=True)
    if pod is None:
        return 0
    begin_run(pod)
    return run_pod(call, pod, interactive=call.options.on("interactive"))


def prepare(call: Call) -> int:
    """Prepare a pod and print its UUID."""
    pod = _prepared(call, runs=False)
    if pod is None:
        return 0
    commit(pod)
    call.tell(pod.uuid)
    return 0


def _prepared(call: Call, *, runs: bool) -> Pod | None:
    """A pod that is complete but for its last move, locked; None when this is a dry run."""
    spec = pod_spec(call.words, CallerInputs(_environ(call), read_file)).settled(call.host.paths)
    if runs:
        check_service(call, spec.run)
    made: list[Pod] = []
    while True:
        try:
            carry_out(call, _plan(call, spec, made.append, runs=runs))
        except ImageGone:
            continue
        except InvalidSpec as err:
            raise (in_flags(err) if call.dry_run else err) from err
        break
    for pod in made:
        for line in notes_of_preparation(pod.dir):
            call.say(line)
    return made[0] if made else None


def _plan(call: Call, spec: PodSpec, hand_over: Callable[[Pod], None], *, runs: bool) -> Plan[None]:
    """Plan: the images are in the store, and there is a new pod of them."""
    stage1 = yield from stage1_of(call, spec)
    if stage1 is not None:
        spec = stage1.recorded_in(spec)
    if call.options.has("pod-manifest"):
        from ..pod_manifest import read_preparation

        wanted: Preparation | None = read_preparation(call.host, call.options.text("pod-manifest"), spec)
    else:
        found = yield from _images(call, spec)
        of_volumes = yield from _images_of_volumes(call, spec)
        if of_volumes:
            from ...stage0.image_volumes import with_ids

            spec = with_ids(spec, of_volumes)
        wanted = _built(call, spec, found) if found and None not in of_volumes else None
        wanted = wanted and wanted.replace(volume_images=of_volumes)
    if wanted and stage1 is not None:
        wanted = None if stage1.is_missing else _with_stage1(stage1, wanted, spec)
    if wanted:
        warnings = (*wanted.warnings, *check_start(call.host, wanted.manifest, wanted.runspec))
        for warning in () if call.options.on("quiet") else warnings:
            call.say(warning)
    yield from ensure_new_pod(wanted, spec.run.name, uuid_saver(call), hand_over, runs=runs)


def stage1_of(call: Call, spec: PodSpec) -> Plan[FoundStage1 | None]:
    """Plan: the stage1 of a pod is at hand, where the command line or the host's configuration names one."""
    if not spec.stage1.asked and not configures_stage1(call.host.paths):
        return None
    from ...stage0.stage1_images import ensure_stage1

    policed = spec.replace(policy=policy_of_stage1(spec.policy, call.options))
    return (
        yield from ensure_stage1(
            call.host, policed, lambda reference, policy: ensure_image(call, reference, policy)
        )
    )


def _with_stage1(stage1: FoundStage1, wanted: Preparation, spec: PodSpec) -> Preparation:
    try:
        return stage1.added_to(wanted, spec)
    except InvalidSpec as err:
        raise in_flags(err) from err


def _images(call: Call, spec: PodSpec) -> Plan[tuple[StoredImage, ...]]:
    """The images of the apps, fetched where that is needed and wanted; () when one is not here."""
    stored = []
    for app, words in zip(spec.apps, call.words.apps):
        policy = policy_of_image(spec.policy, call.options, words)
        stored.append((yield from ensure_image(call, app.image, policy)))
    found = tuple(image for image in stored if image)
    return found if len(found) == len(spec.apps) else ()


def _images_of_volumes(call: Call, spec: PodSpec) -> Plan[tuple[Image | None, ...]]:
    """The images that are volumes, under the policies of the pod."""
    if not spec.volumes:
        return ()
    from ...stage0.image_volumes import ensure_images, has_images

    if not has_images(spec.volumes):
        return ()
    return (yield from ensure_images(spec, lambda reference, policy: ensure_image(call, reference, policy)))


def _built(call: Call, spec: PodSpec, images: tuple[StoredImage, ...]) -> Preparation:
    caller = os.getuid(), os.getgid()
    try:
        return build_manifest(spec, images, call.host.paths.volume_data, isolators_policy(call.host), caller)
    except BeyondDefaults as err:
        raise in_words_of_flags(err) from err
    except UndescribedApp as err:
        raise InvalidSpec(f"error: {err.reason}", err.hint) from err
    except InvalidSpec as err:
        raise in_flags(err) from err


def uuid_saver(call: Call) -> Callable[[str], None]:
    """The function that saves the UUID of a new pod, before anything else is done. Source: behaviours A23, A24."""
    path = call.options.text("uuid-file-save")

    def save(uuid: str) -> None:
        if path:
            try:
                _save_uuid(path, uuid)
            except OSError as err:
                raise HostFailure.of("error saving pod UUID to file", err) from err
        call.debug_line("Writing pod manifest")

    return save


def _save_uuid(path: str, uuid: str) -> None:
    """Write a UUID into a file, perhaps in another user's directory: without following links, and without blocking.

    A terminal and /dev/null are allowed, since only root can put a device in the place of a file.
    """
    try:
        fd = os.open(path, _SAVE, _UUID_FILE_MODE)
    except OSError as err:
        if err.errno in _NO_FILE:
            raise _refused(path, _NO_FILE[err.errno]) from err
        raise
    try:
        info = os.fstat(fd)
        if stat.S_ISCHR(info.st_mode):
            os.set_blocking(fd, True)
        elif not stat.S_ISREG(info.st_mode):
            raise _refused(path, "it is no regular file")
        elif info.st_nlink != 1:
            raise _refused(path, "the file has other names as well")
        else:
            os.ftruncate(fd, 0)
            os.fchmod(fd, _UUID_FILE_MODE)  # regardless of the umask
        write_all(fd, uuid.encode())
    finally:
        os.close(fd)


def _refused(path: str, why: str) -> HostFailure:
    return HostFailure(f"error saving pod UUID to file: {path}: {why}", "name a new file", path=path)


def _environ(call: Call) -> Pairs:
    """The caller's variables, except those that are not text, which no manifest can hold."""
    found = tuple(os.environ.items())
    left_out = values.not_text(found) if call.options.on("inherit-env") else ()
    for name in left_out:
        call.say(f"not inheriting the variable {name}: it is not UTF-8")
    return tuple(pair for pair in found if pair[0] not in left_out)


def read_file(path: str) -> str:
    """The text of a file of variables. Raises InvalidSpec, HostFailure."""
    try:
        return read_given(path).decode()
    except UnicodeDecodeError as err:
        raise InvalidSpec(f"invalid environment file {path}: it is not UTF-8: {err.reason}") from err
    except OSError as err:
        raise HostFailure.of("cannot read the environment file", err) from err


ENTRIES: dict[str, Callable[[Call], int]] = {"run": run, "prepare": prepare}
