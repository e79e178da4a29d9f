# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task pod_image_build: an image is made of files and a definition of its app, and is where it is to be."""

from __future__ import annotations

import os

from ..appc.app import App, EventHandler
from ..appc.image import LAYERS_ANNOTATION, STOP_SIGNAL, Dependency, ImageManifest
from ..appc.isolators import isolator_from_json
from ..appc.labels import Labels, check_platform
from ..appc.names import ACIdentifier, ACName, ImageHash
from ..appc.ports import Port
from ..appc.volumes import MountPoint, parse_mode
from ..errors import InvalidSpec
from ..fields import Fields, checked_text
from ..image.build import outlets
from ..image.build.built import build
from ..image.build.intake import image_id_of
from ..image.build.recipe import ACI, Part, Recipe
from ..image.reference import DockerReference, parse_reference
from ..stage0.change import converge, naming_changes
from ..stage0.image_build import Outlets, ensure_built
from ..stage0.options import parsers
from ..stage0.options.reading import fetch_policy
from .results import outcome_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.host import Host
    from ..image.build.built import Built

_DEFAULT_MODE = "0644"
_SOURCES = ("src", "content", "link")
# Labels that have options of their own, or are set.
_VERSION = "version"


def pod_image_build(host: Host, options: Fields, *, check: bool) -> dict[str, object]:
    """Converge one image. Raises PodError."""
    recipe = _recipe(host, options)
    to = _outlets(options, recipe)
    _check_not_in_itself(recipe, to.path)
    built = build(recipe)
    outcome, _nothing = converge(host, ensure_built(host, built, to), apply=not check)
    with naming_changes(outcome.to_json(), f'cannot look at image "{recipe.manifest.full_name}"'):
        image = _shown(host, built, to, is_there=not check or not outcome.changed)
    return {**outcome_result(outcome), "warnings": [*outcome.notes, *outcome.foreseen], "image": image}


def _shown(host: Host, built: Built, to: Outlets, *, is_there: bool) -> dict[str, object]:
    """An image as the result shows it. is_there: whether it is where it is to be."""
    manifest = built.recipe.manifest
    pushed = outlets.pushed_image(host, to.pushed, to.policy) if to.pushed and is_there else None
    return {
        "id": built.identity,
        "name": manifest.full_name,
        "labels": dict(manifest.labels.pairs),
        "format": built.recipe.format,
        "size": built.size,
        "files": len(built.members),
        "store_id": str(image_id_of(built)) if to.stored else None,
        "dest": to.path or None,
        "signed_by": to.key or None,
        "digest": pushed.digest if pushed else None,
    }


def _recipe(host: Host, options: Fields) -> Recipe:
    manifest, stop_signal = _manifest(host, options)
    return options.made(
        Recipe,
        options.text("format", ACI),
        manifest,
        tuple(_part(options, fields) for fields in options.each("files")),
        options.text("archive", ""),
        options.strings("preserve"),
        options.integer("mtime", 0),
        options.boolean("compress", True),
        stop_signal,
    )


# --- the manifest ---


def _manifest(host: Host, options: Fields) -> tuple[ImageManifest, str]:
    """The manifest, and the stop signal, which an ACI has among its annotations."""
    section = Fields(options.raw("app"), "app") if options.has("app") else None
    signal = section.text("stop_signal", "") if section else ""
    stop_signal = parsers.stop_signal(signal, "app.stop_signal")[1] if signal else ""
    annotations = _named(options, "annotations")
    if LAYERS_ANNOTATION in annotations:
        raise InvalidSpec(
            "this annotation is of images that were converted", "choose another name", where="annotations"
        )
    if stop_signal and options.text("format", ACI) == ACI:
        annotations[STOP_SIGNAL] = stop_signal
    manifest = ImageManifest(
        ACIdentifier(options.text("name"), "name"),
        _labels(host, options),
        _app(section) if section else None,
        tuple(_dependency(fields) for fields in options.each("dependencies")),
        options.strings("path_whitelist"),
        Labels(tuple(sorted(annotations.items()))),
    )
    # Bounds and combinations are checked as for an image that comes from elsewhere.
    return ImageManifest.from_json(manifest.to_json(), "image"), stop_signal


def _labels(host: Host, options: Fields) -> Labels:
    given, version = _named(options, "labels"), options.text(_VERSION, "")
    if version and given.get(_VERSION, version) != version:
        raise InvalidSpec("the version is given twice", "leave it out of the labels", where="labels.version")
    labels = {"arch": host.arch, "os": "linux", **given, **({_VERSION: version} if version else {})}
    found = Labels(tuple(sorted(labels.items())))
    try:
        check_platform(found)
    except InvalidSpec as err:
        raise InvalidSpec(err.reason, err.hint, where="labels") from err
    return found


def _named(options: Fields, name: str) -> dict[str, str]:
    return {str(ACIdentifier(key, options.where_of(name))): value for key, value in options.pairs(name)}


def _app(fields: Fields) -> App:
    handlers = (("pre-start", "pre_start"), ("post-stop", "post_stop"))
    return fields.made(
        App,
        exec=fields.strings("exec"),
        user=fields.text("user", "0"),
        group=fields.text("group", "0"),
        supplementary_gids=fields.integers("supplementary_gids"),
        event_handlers=tuple(
            EventHandler(event, fields.strings(name)) for event, name in handlers if fields.raw(name)
        ),
        working_directory=parsers.absolute(fields.text("working_dir", ""), fields.where_of("working_dir")),
        environment=parsers.variables(fields, "environment") if fields.has("environment") else (),
        mount_points=tuple(_mount_point(each) for each in fields.each("mount_points")),
        ports=tuple(
            Port.of(each) for each in _renamed(fields, "ports", "socketActivated", "socket_activated")
        ),
        isolators=tuple(isolator_from_json(*each) for each in fields.items("isolators")),
        user_annotations=fields.pairs("user_annotations"),
        user_labels=fields.pairs("user_labels"),
    )


def _renamed(fields: Fields, name: str, member: str, option: str) -> tuple[Fields, ...]:
    """The elements of a list, of which a member has an option's name."""
    return tuple(Fields(value, where, {member: option}) for value, where in fields.items(name))


def _mount_point(fields: Fields) -> MountPoint:
    where, path = fields.where_of("path"), fields.text("path")
    if not os.path.isabs(path):
        raise InvalidSpec(f'"{path}" is not an absolute path', "begin it with /", where=where)
    name = ACName(fields.text("name"), fields.where_of("name"))
    return MountPoint(name, path, fields.boolean("read_only", False))


def _dependency(fields: Fields) -> Dependency:
    image_id = fields.optional_text("id")
    return Dependency(
        ACIdentifier(fields.text("name"), fields.where_of("name")),
        ImageHash(image_id, fields.where_of("id")) if image_id else None,
        Labels(tuple(sorted(_named(fields, "labels").items()))),
    )


# --- its files ---


def _part(options: Fields, fields: Fields) -> Part:
    given = [name for name in _SOURCES if fields.raw(name) is not None]
    if len(given) > 1:
        raise InvalidSpec(
            f"{given[0]} and {given[1]} exclude one another", "write two elements", where=fields.where
        )
    for name in ("src", "link"):
        if fields.raw(name) == "":
            raise InvalidSpec(
                "missing or empty", f"write a path, or leave {name} out", where=fields.where_of(name)
            )
    source, packed = fields.text("src", ""), options.text("files_from", "controller") == "controller"
    if source and packed and not options.text("archive", ""):
        raise InvalidSpec(
            "files of the controller come with the collection's action plugin",
            "run the module by Ansible, or write files_from: host",
            where="files_from",
        )
    if source and not packed and not os.path.isabs(source):
        raise InvalidSpec(
            f'"{source}" is not an absolute path', "begin it with /", where=fields.where_of("src")
        )
    dest = fields.text("dest")
    return Part(
        fields.where,
        _target(dest, fields.where_of("dest")),
        source,
        packed and bool(source),
        fields.text("content").encode() if "content" in given else None,
        fields.text("link", ""),
        not dest.endswith("/"),
        _mode(fields, "mode"),
        _mode(fields, "directory_mode"),
        _id(fields, "uid"),
        _id(fields, "gid"),
        fields.strings("exclude"),
    )


def _target(dest: str, where: str) -> str:
    """A path from the root of the image on. Raises InvalidSpec."""
    parts = [part for part in dest.split("/") if part not in ("", ".")]
    if not dest.startswith("/") or ".." in parts:
        raise InvalidSpec(f'"{dest}" is not a path in the image', "begin it with /, without ..", where=where)
    return "/".join(parts)


def _mode(fields: Fields, name: str, default: str = "") -> int | None:
    if not fields.has(name) and not default:
        return None
    text = checked_text(fields.raw(name) or default, fields.where_of(name), f"{name}:")
    return parse_mode(text, fields.where_of(name))


def _id(fields: Fields, name: str) -> int | None:
    number = fields.optional_integer(name)
    if number is not None and not 0 <= number < 2**32 - 1:
        raise InvalidSpec(f"{number} is not the number of an owner", where=fields.where_of(name))
    return number


def _check_not_in_itself(recipe: Recipe, path: str) -> None:
    """Raise InvalidSpec for a file that is in a directory that goes into it."""
    if not path:
        return
    place = os.path.realpath(path)
    for part in recipe.parts:
        top = os.path.realpath(part.source) if part.source and not part.packed else ""
        if top and f"{place}/".startswith(f"{top}/") and os.path.isdir(top):
            raise InvalidSpec(
                f"{path} is in {part.source}, which goes into it",
                "write it to another directory",
                where="dest",
            )


# --- where it goes ---


def _outlets(options: Fields, recipe: Recipe) -> Outlets:
    path, wanted = options.text("dest", ""), options.text("sign_key", "")
    pushed = _pushed(options, recipe)
    stored = options.optional_boolean("store")
    if path and not os.path.isabs(path):
        raise InvalidSpec(f'"{path}" is not an absolute path', "begin it with /", where="dest")
    if wanted and not (path and recipe.format == ACI):
        raise InvalidSpec("only an ACI in a file is signed", "write dest, and format: aci", where="sign_key")
    home = options.text("gnupg_home", "") or _gnupg_home()
    key = ""
    if wanted:
        from ..image.signing import secret_key_of

        key = secret_key_of(home, wanted)
    is_stored = not (path or pushed) if stored is None else stored
    if not (is_stored or path or pushed):
        raise InvalidSpec("the image goes nowhere", "write store: true, dest or push", where="store")
    mode = _mode(options, "mode", _DEFAULT_MODE) or 0
    passphrase = checked_text(options.raw("passphrase") or "", "passphrase", "passphrase:", secret=True)
    return Outlets(is_stored, path, mode, key, home, passphrase, pushed, fetch_policy(options))


def _pushed(options: Fields, recipe: Recipe) -> DockerReference | None:
    text = options.text("push", "")
    if not text:
        return None
    reference = parse_reference(text, "push", relative=False)
    if not isinstance(reference, DockerReference) or not reference.tag:
        raise InvalidSpec(
            f'"{text}" is not a tag in a registry', "write docker://REGISTRY/REPOSITORY:TAG", where="push"
        )
    if recipe.format == ACI:
        raise InvalidSpec("registries take no ACI", "write format: oci", where="push")
    return reference


def _gnupg_home() -> str:
    """Where gpg has the keys of this task. Source: gpg(1), GNUPGHOME."""
    return os.environ.get("GNUPGHOME") or os.path.expanduser("~/.gnupg")
