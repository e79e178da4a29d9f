# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of parts that are on the controller: in one tar archive, which was made for this task.

The names in it begin with the number of the part; what is excluded was left out. Made by plugins/plugin_utils/packing.
"""

from __future__ import annotations

import tarfile

from ...errors import HostFailure
from ...store import tar
from .members import Member, PackedFile, owned
from .walked import refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .recipe import Recipe

_XATTR = "SCHILY.xattr."


def packed(recipe: Recipe) -> dict[int, list[Member]]:
    """The members of each part that is in the archive, with paths from its target on. Raises HostFailure."""
    found: dict[int, list[Member]] = {}
    seen: dict[str, tarfile.TarInfo] = {}
    try:
        with tarfile.open(recipe.archive, "r:", encoding="utf-8") as archive:
            for info in archive:
                first, _slash, path = info.name.partition("/")
                part = recipe.parts[int(first)]
                member = _member(recipe, int(first), info, seen)
                if member is None:
                    raise refused(part, path, "no file, directory or link")
                members = found.setdefault(int(first), [])
                members.append(owned(recipe, part, member.replace(path=path)))
    except (tarfile.TarError, ValueError, LookupError) as err:
        raise HostFailure(f"cannot read the files of the controller: {err}", "run the task again") from err
    except OSError as err:
        raise HostFailure.of("cannot read the files of the controller", err) from err
    return found


def _member(
    recipe: Recipe, number: int, info: tarfile.TarInfo, seen: dict[str, tarfile.TarInfo]
) -> Member | None:
    """An entry as it is, None for a kind that no part has. seen: files by name, which links lead to."""
    found = {tarfile.DIRTYPE: tar.DIRECTORY, tarfile.SYMTYPE: tar.SYMLINK, tarfile.REGTYPE: tar.FILE}
    kind = found.get(info.type, tar.FILE if info.islnk() else "")
    if not kind:
        return None
    member = Member("", kind, info.mode, info.uid, info.gid, int(info.mtime))
    if kind == tar.SYMLINK:
        return member.replace(link=info.linkname)
    first = seen[info.linkname] if info.islnk() else info
    seen[info.name] = first
    xattrs = tuple(
        (name[len(_XATTR) :], value.encode("utf-8", "surrogateescape"))
        for name, value in sorted(first.pax_headers.items())
        if name.startswith(_XATTR)
    )
    if kind == tar.DIRECTORY:
        return member.replace(xattrs=xattrs)
    return member.replace(
        size=first.size,
        xattrs=xattrs,
        content=PackedFile(recipe.archive, first.offset_data),
        same=(number, first.offset_data),
    )
