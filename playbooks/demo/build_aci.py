# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Build an ACI from one static program: build_aci.py OUTPUT PROGRAM MANIFEST, where MANIFEST is JSON.

An ACI is a tar file with a manifest and a rootfs. The labels os and arch are added. Equal input makes an equal file,
so the image has the same ID everywhere.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile

FOLDERS = ("rootfs", "rootfs/bin", "rootfs/etc", "rootfs/tmp", "rootfs/www")
PASSWD = b"root:x:0:0:root:/:/bin/sh\n"
GROUP = b"root:x:0:\n"
APPLETS = ("sh", "httpd", "date", "mv", "sleep", "hostname", "cat")
ARCHES = {"x86_64": "amd64", "aarch64": "aarch64"}


def labelled(manifest):
    """The manifest with the labels of this machine."""
    machine = os.uname().machine
    labels = {"os": "linux", "arch": ARCHES.get(machine, machine)}
    labelled_manifest = json.loads(manifest)
    labelled_manifest["labels"] = [{"name": name, "value": value} for name, value in labels.items()]
    return json.dumps(labelled_manifest, sort_keys=True)


def entry(name, kind, mode, size=0, link=""):
    """A member of the archive."""
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.size, member.linkname = kind, mode, size, link
    return member


def build(output, program, manifest):
    """Write the ACI aside and rename it in."""
    with open(program, "rb") as file:
        busybox = file.read()
    aside = output + ".new"
    with tarfile.open(aside, "w", format=tarfile.USTAR_FORMAT) as archive:
        files = (
            ("manifest", 0o644, labelled(manifest).encode()),
            ("rootfs/bin/busybox", 0o755, busybox),
            ("rootfs/etc/passwd", 0o644, PASSWD),
            ("rootfs/etc/group", 0o644, GROUP),
        )
        for name in FOLDERS:
            archive.addfile(entry(name, tarfile.DIRTYPE, 0o755))
        for name, mode, data in files:
            archive.addfile(entry(name, tarfile.REGTYPE, mode, len(data)), io.BytesIO(data))
        for name in APPLETS:
            archive.addfile(entry("rootfs/bin/" + name, tarfile.SYMTYPE, 0o777, link="busybox"))
    os.rename(aside, output)


if __name__ == "__main__":
    build(*sys.argv[1:])
