# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The owners on disk of what is copied from an app's root into a volume, also those within extended attributes.

A pod with its own users sees the files of its image with IDs of its range. In an empty volume they have these on disk;
in one that is mounted with a map they have the IDs that the map shows so. Source: xattr(7), acl(5), capabilities(7).
"""

from __future__ import annotations

import errno
import os
import stat
import struct

from ...value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...pod.idmaps import IdMap

_NO_OWNER = 65534
_SET_IDS = stat.S_ISUID | stat.S_ISGID
_CAPABILITY, _ACLS = "security.capability", ("system.posix_acl_access", "system.posix_acl_default")
# Labels and measurements belong to the policy of the host; what begins with trusted.overlay. is overlayfs's own.
_COPIED, _OVERLAY = ("user.", "trusted."), "trusted.overlay."
_UNSUPPORTED = (errno.ENOTSUP, errno.EOPNOTSUPP)
# Source: linux/capability.h, struct vfs_ns_cap_data; version 3 has the ID of the root that the capability is of.
_CAP_HEAD, _CAP_VERSION, _CAP_2, _CAP_3, _CAP_2_BYTES = (
    struct.Struct("<I"),
    0xFF000000,
    0x02000000,
    0x03000000,
    20,
)
# Source: linux/posix_acl_xattr.h.
_ACL_ENTRY, _ACL_HEAD_BYTES, _ACL_USER, _ACL_GROUP = struct.Struct("<HHI"), 4, 0x02, 0x08


class DiskOwners(Value):
    """From the owners that this process sees in an app's root to those on disk.

    map: of the volume's mount, see idmaps; () for the same. first: the ID of the host that is root in the app.
    """

    map: IdMap = ()
    first: int = 0

    def on_disk(self, number: int) -> int | None:
        """The ID on disk of one that is seen, None if the map has none."""
        if not self.map:
            return number
        for outside, shown, count in self.map:
            if shown <= number < shown + count:
                return outside + number - shown
        return None

    def of(self, uid: int, gid: int) -> tuple[int, int]:
        """The owner and the group on disk; what the map lacks belongs to the overflow ID."""
        found = (self.on_disk(uid), self.on_disk(gid))
        return tuple(_NO_OWNER if each is None else each for each in found)  # type: ignore[return-value]  # two

    def mode(self, found: os.stat_result) -> int:
        """The mode on disk; a program of an owner that the map lacks has no rights of another one."""
        mode = stat.S_IMODE(found.st_mode)
        known = None not in (self.on_disk(found.st_uid), self.on_disk(found.st_gid))
        return mode if known else mode & ~_SET_IDS

    def attribute(self, name: str, value: bytes) -> bytes:
        """The value on disk of an extended attribute, b"" for one that has no meaning there."""
        if name == _CAPABILITY:
            return self._capability(value)
        return self._acl(value) if name in _ACLS else value

    def _capability(self, value: bytes) -> bytes:
        if not self.map and not self.first:
            return value
        if len(value) < _CAP_2_BYTES:
            return b""
        (head,) = _CAP_HEAD.unpack_from(value)
        spaced = head & _CAP_VERSION == _CAP_3 and len(value) >= _CAP_2_BYTES + _CAP_HEAD.size
        root = self.on_disk(_CAP_HEAD.unpack_from(value, _CAP_2_BYTES)[0] if spaced else self.first)
        flags, sets = head & ~_CAP_VERSION, value[_CAP_HEAD.size : _CAP_2_BYTES]
        if root is None:
            return b""
        if root == 0:
            return _CAP_HEAD.pack(flags | _CAP_2) + sets
        return _CAP_HEAD.pack(flags | _CAP_3) + sets + _CAP_HEAD.pack(root)

    def _acl(self, value: bytes) -> bytes:
        if not self.map:
            return value
        entries = b""
        for tag, rights, number in _ACL_ENTRY.iter_unpack(value[_ACL_HEAD_BYTES:]):
            named = self.on_disk(number) if tag in (_ACL_USER, _ACL_GROUP) else number
            entries += _ACL_ENTRY.pack(tag, rights, _NO_OWNER if named is None else named)
        return value[:_ACL_HEAD_BYTES] + entries


def copy_attributes(source: str, target: str, owners: DiskOwners) -> None:
    """Copy the extended attributes of a file or directory that are the image's. Raises OSError.

    A file system that has none gets none.
    """
    for name in os.listxattr(source, follow_symlinks=False):
        if name not in (_CAPABILITY, *_ACLS) and (not name.startswith(_COPIED) or name.startswith(_OVERLAY)):
            continue
        value = owners.attribute(name, os.getxattr(source, name, follow_symlinks=False))
        try:
            if value:
                os.setxattr(target, name, value, follow_symlinks=False)
        except OSError as err:
            if err.errno not in _UNSUPPORTED:
                raise
