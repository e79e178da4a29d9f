# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A stage1 that is written from nothing but docs/devel/stage1-contract.md, and images of it and of others."""

from __future__ import annotations

import json
import pathlib
import subprocess
from collections.abc import Mapping

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import image_manifest, write_image

RKT = "coreos.com/rkt/stage1/"
# A stage1 of a chroot: PID 1 is the parent of the app, which it waits for.
RUN = """#!/bin/sh
[ -n "$RKT_LOCK_FD" ] && [ -d /proc/self/fd/$RKT_LOCK_FD ] || exit 9
echo "$@" >args
echo "$PWD" >where
for uuid; do :; done
app=$(ls stage1/rootfs/opt/stage2)
root=stage1/rootfs/opt/stage2/$app/rootfs
echo NAME=$app >stage1/rootfs/rkt/env/$app
echo '[]' >net-info.json
chroot $root /bin/sh -c "$(cat script 2>/dev/null || echo 'while :; do sleep 0.1; done')" &
child=$!
trap 'kill $child' TERM
echo $child >pid
ln -s ready stage1/rootfs/rkt/supervisor-status
wait $child
status=$?
[ $status -ge 128 ] && status=0
echo $status >stage1/rootfs/rkt/status/$app
exit $status
"""
ENTER = """#!/bin/sh
pid=${1#--pid=} app=${2#--appname=}
shift 3
echo entered $app by $(basename $PWD) >&2
exec chroot /proc/$pid/root "$@"
"""
STOP = """#!/bin/sh
echo "$@" >>stops
[ "$1" = --force ] && kill -9 $(cat pid) || kill $(cat pid)
"""
GC = """#!/bin/sh
echo "$@" >>{log}
"""


def write_stage1(base: pathlib.Path, name: str, entries: Mapping[str, str], version: str | None = "6") -> str:
    """Write a stage1 image with these entries; returns its path."""
    path = base / f"{name}.aci"
    files = {f"entries/{entry}": (0o755, text.encode()) for entry, text in entries.items()}
    write_image(path, f"example.com/{name}", None, files)
    annotations = {f"{RKT}{entry}": f"/entries/{entry}" for entry in entries}
    if version is not None:
        annotations[f"{RKT}interface-version"] = version
    manifest = image_manifest(f"example.com/{name}", None)
    manifest["annotations"] = [{"name": key, "value": value} for key, value in annotations.items()]
    return replaced(path, json.dumps(manifest))


def replaced(path: pathlib.Path, manifest: str) -> str:
    """The archive with another manifest."""
    place = path.parent / f"{path.stem}-made"
    place.mkdir()
    subprocess.run(["tar", "-xf", str(path), "-C", str(place)], check=True)
    (place / "manifest").write_text(manifest)
    subprocess.run(["tar", "-cf", str(path), "-C", str(place), "manifest", "rootfs"], check=True)
    return str(path)
