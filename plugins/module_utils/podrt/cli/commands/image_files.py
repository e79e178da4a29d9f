# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl image export, extract, render, verify, save and load: the files of images. Source: behaviours A57, A58."""

from __future__ import annotations

import os

from ...errors import Conflict, HostFailure, InvalidSpec, PodError, hint_for_errno
from ...host import files
from ...host.dirs import TreeDir
from ...image.sent import naming
from ...stage0.rebuild import rebuild
from ...store import export, trees, verification
from ...store.workspace import Workspace
from ..call import Call
from ..flags import UsageError
from ..grammar import fetch_policy
from ..outfiles import aside_of, write_file
from ..stored import find_image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ...store.index import StoredImage

_FILE_MODE = 0o644
_DIR_MODE = 0o755
_SHORT, _FULL = len("sha512-") + 32, len("sha512-") + 64
# Standard input or output for the path of an archive.
_PIPE, _INPUT, _OUTPUT, _CHUNK = "-", 0, 1, 1 << 20


def image_export(call: Call) -> int:
    """Write an image into a file."""
    image, place = _arguments(call)
    write_file(
        call,
        place,
        "output ACI file exists (try --overwrite)",
        lambda target: export.write_archive(call.host.paths, image, target),
    )
    return 0


def image_extract(call: Call) -> int:
    """Write the image's own files into a directory."""
    image, place = _arguments(call)
    _check_place(call, place)
    _fill(call, image, place, lambda root: export.extract(call.host.paths, image, root))
    return 0


def image_render(call: Call) -> int:
    """Write the files that an app of the image sees into a directory."""
    image, place = _arguments(call)
    _check_place(call, place)
    tree = trees.render(call.host.paths, image).tree
    if not fetch_policy(call.options).waives("ondisk"):
        damage = verification.find_damage(call.host.paths, tree)
        if damage:
            call.say(f"warning: tree cache is in a bad state: {damage}. Rebuilding...")
            rebuild(call.host, image, tree, damage)
    _fill(call, image, place, lambda root: trees.copy_tree(call.host.paths, tree, root))
    return 0


def image_verify(call: Call) -> int:
    """Compare images with what they were when they came, and make again what can be made again."""
    if not call.words.arguments:
        raise UsageError("image verify takes at least one image")
    status = 0
    for text in call.words.arguments:
        try:
            _verify(call, text)
        except PodError as err:
            call.complain(err)
            status = err.exit_code
    return status


def image_save(call: Call) -> int:
    """Write images of registries into one archive, which image load and other tools read."""
    from ...image.build import shelved

    if not call.words.arguments:
        raise UsageError("image save takes at least one image")
    found = {image.id: image for image in (find_image(call, text) for text in call.words.arguments)}
    paths, images, place = call.host.paths, tuple(found.values()), call.options.text("output", _PIPE)
    if place != _PIPE:
        write_file(
            call,
            os.path.abspath(place),
            "output archive exists (try --overwrite)",
            lambda target: shelved.write_archive(paths, images, lambda chunk: files.write_all(target, chunk)),
        )
        return 0
    if os.isatty(_OUTPUT):
        raise InvalidSpec("cannot write an archive to a terminal", "name a file with --output, or use a pipe")
    shelved.write_archive(paths, images, lambda chunk: files.write_all(_OUTPUT, chunk))
    return 0


def image_load(call: Call) -> int:
    """Get the images of an archive into the store, under their names, and print these with their keys."""
    if len(call.words.arguments) != 1 or not call.words.arguments[0]:
        raise UsageError("image load takes the path of one archive, or - for standard input")
    place = call.words.arguments[0]
    if place != _PIPE:
        return _load(call, os.path.abspath(place))
    with Workspace(call.host.paths) as workspace, naming(workspace.image, "standard input"):
        _keep_input(workspace.image)
        return _load(call, workspace.image)


def _load(call: Call, path: str) -> int:
    from ...image.load import images_in
    from ..plans import carry_out, ensure_image

    policy = fetch_policy(call.options, default="new")
    for reference in images_in(path, call.host.arch):
        _outcome, stored = carry_out(call, ensure_image(call, reference, policy, names=True))
        if stored and not call.dry_run:
            call.tell(f"{stored.id[: _FULL if call.options.on('full') else _SHORT]} {reference.wanted}")
    return 0


def _keep_input(place: str) -> None:
    """Have what comes through a pipe in a file, since a saved image is read by place."""
    try:
        target = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, files.PRIVATE_FILE)
        try:
            while chunk := os.read(_INPUT, _CHUNK):
                files.write_all(target, chunk)
        finally:
            os.close(target)
    except OSError as err:
        raise HostFailure.of("cannot keep what comes from standard input", err, hint_for_errno(err)) from err


def _verify(call: Call, text: str) -> None:
    paths, image = call.host.paths, find_image(call, text)
    verification.check_archive(paths, image.id)
    tree = trees.tree_of(paths, image.id)
    if not trees.is_rendered(paths, tree):
        call.tell(f'image "{text}" not rendered; no verification needed')
        return
    damage = verification.find_damage(paths, tree)
    if damage:
        call.say(f"tree cache verification failed for image {text}: {damage};  rebuilding...")
        rebuild(call.host, image, tree, damage)
    call.tell(f'successfully verified checksum for image: "{text}" ("{image.id}")')


def _arguments(call: Call) -> tuple[StoredImage, str]:
    """The image, and the absolute path to write to."""
    if len(call.words.arguments) != 2:
        raise UsageError(f"image {call.prefix} takes an image and a path")
    text, place = call.words.arguments
    if not place:
        raise InvalidSpec("the path to write to is empty", "name a path that does not exist")
    return find_image(call, text), os.path.abspath(place)


def _check_place(call: Call, place: str) -> None:
    if place == "/":
        raise InvalidSpec("cannot write an image to /", "name a directory that does not exist")
    if os.path.lexists(place) and not call.options.on("overwrite"):
        raise Conflict("output directory exists (try --overwrite)", path=place)


def _fill(call: Call, image: StoredImage, place: str, write: Callable[[str], None]) -> None:
    """Make a directory with the files of an image, and its manifest beside them unless they are wanted alone."""

    def fill(aside: str) -> None:
        if call.options.on("rootfs-only"):
            return write(aside)
        made = TreeDir(aside)
        files.write_new(made.manifest, export.manifest_of(image), _FILE_MODE)
        os.mkdir(made.root, _DIR_MODE)
        return write(made.root)

    _appear(place, fill)


def _appear(place: str, fill: Callable[[str], None]) -> None:
    """Make a directory that appears at once and whole. One that is there is removed after that, or stays."""
    with aside_of(place) as aside, aside_of(place) as old:
        os.mkdir(aside, _DIR_MODE)
        fill(aside)
        replaces = os.path.lexists(place)
        if replaces:
            os.rename(place, old)
        try:
            files.rename_synced(aside, place)
        except OSError:
            if replaces and not os.path.lexists(place):
                os.rename(old, place)
            raise


ENTRIES: dict[str, Callable[[Call], int]] = {
    "image export": image_export,
    "image extract": image_extract,
    "image render": image_render,
    "image verify": image_verify,
    "image save": image_save,
    "image load": image_load,
}
