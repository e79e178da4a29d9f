# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Fetches of images beside podman's, in fresh directories, by each way that a host may have to inflate layers."""

from __future__ import annotations

import pathlib
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator

import isolation
import tasks
from images import LAYERS, Registry
from measure import Row, Sample, in_turn, said, timed, touch_memory
from rivals import Ours, Podman

WHAT = "fetch and render, 5 layers"
# How layers are inflated, and the bound of the ratio to podman pull. Source: the issue "Speed".
WAYS = {"isal": 0.36, "igzip": 0.39, "zlib": 0.43}
_TINY_FILES = 5


class Fresh:
    """Fresh directories, on a file system where nothing is ever deleted.

    ext4 takes longer to find free inodes among those just deleted than to make the files.
    """

    def __init__(self, top: pathlib.Path) -> None:
        self._top, self._count = top, 0

    def directory(self) -> pathlib.Path:
        """Make another one, after a sync, and with free memory at hand."""
        self._count += 1
        path = self._top / str(self._count)
        path.mkdir()
        subprocess.run(["sync", "--file-system", self._top], check=True)
        touch_memory()
        return path


class Inflating:
    """What the host has to inflate layers, in the mount namespace of this run: one way at a time.

    missing: why a way cannot be measured, by its name.
    """

    def __init__(self, work: pathlib.Path) -> None:
        (self._libraries,) = (path.resolve() for path in (work / "data").glob("runtime/*/lib"))
        self._program = shutil.which("igzip")
        self._hidden = False
        self.missing = {"isal": tasks.missing_isal(), "igzip": "", "zlib": ""}
        if not self._program:
            self.missing["igzip"] = "igzip (missing: not installed here)"
        for place in _installed():
            subprocess.run(["mount", "-t", "tmpfs", "bench", place], check=True)

    def use(self, way: str) -> None:
        """Leave only one way."""
        self.reset()
        if way == "isal":
            shutil.copytree(tasks.isal_package(), self._libraries / "isal")
        if way == "zlib" and self._program:
            subprocess.run(["mount", "--bind", "/dev/null", self._program], check=True)
            self._hidden = True

    def reset(self) -> None:
        """Leave the program, if the host has it, as a fleet would have it from the role."""
        shutil.rmtree(self._libraries / "isal", ignore_errors=True)
        if self._hidden and self._program:
            subprocess.run(["umount", self._program], check=True)
            self._hidden = False


def _installed() -> Iterator[str]:
    """The directory of the module isal of the host's own Python, if it has that."""
    found = "import importlib.util as u; s = u.find_spec('isal'); print(*(s.submodule_search_locations if s else ()))"
    return filter(None, [said([tasks.host_python(), "-c", found])])


class Fetches:
    """The samples of one run. flags of the rivals are those of their classes."""

    def __init__(self, work: pathlib.Path, registry: Registry, fresh: Fresh) -> None:
        self._work, self._registry, self._fresh = work, registry, fresh
        self.inflating = Inflating(work)

    def by(self, way: str) -> Sample:
        """Run prepare, which fetches and renders, and also makes a pod."""
        self.inflating.use(way)
        ours = self._ours()
        try:
            return timed(ours.argv("prepare", "--quiet", self._reference("large")))
        finally:
            self.inflating.reset()

    def pull(self, name: str) -> Sample:
        """Pull an image by podman."""
        podman = Podman(self._work, self._fresh.directory())
        podman.prepare_store()
        return timed(podman.argv("pull", "--quiet", "--tls-verify=false", f"{self._registry.address}/{name}"))

    def tiny(self) -> Sample:
        """Fetch an image of one small layer."""
        return timed(self._ours().argv("fetch", self._reference("tiny")))

    def changed(self, firsts: list[Sample]) -> Sample:
        """Fetch an image with one layer that differs from an image that is there. firsts: gets the fetch of that."""
        ours = self._ours()
        firsts.append(timed(ours.argv("fetch", self._reference("large"))))
        return timed(ours.argv("fetch", self._reference("changed")))

    def untar(self, blobs: list[str]) -> Sample:
        """Unpack the layers one after the other, and wait for the disk as ours does."""
        path = shlex.quote(str(self._fresh.directory()))
        each = (f"curl --silent --fail {shlex.quote(blob)} | tar xz -C {path}" for blob in blobs)
        return timed(["bash", "-c", "\n".join(["set -e -o pipefail", *each, f"sync --file-system {path}"])])

    def _ours(self) -> Ours:
        return Ours(self._work / "podctl", self._fresh.directory())

    def _reference(self, name: str) -> str:
        return f"docker://{self._registry.address}/{name}"


def measured(work: pathlib.Path, no_podman: str, rounds: Callable[[int], int]) -> list[Row]:
    """The rows of all fetches."""
    registry = Registry(work)
    try:
        blobs = registry.push("large")
        registry.push("changed", (*range(LAYERS - 1), LAYERS))
        registry.push("tiny", (0,), _TINY_FILES)
        with isolation.fresh_filesystem(work) as disk:
            fetches = Fetches(work, registry, Fresh(disk))
            return [
                *_by_way(fetches, blobs, no_podman, rounds(8)),
                _tiny(fetches, no_podman, rounds(12)),
                _changed(fetches, rounds(8)),
            ]
    finally:
        registry.close()


def _by_way(fetches: Fetches, blobs: list[str], no_podman: str, rounds: int) -> list[Row]:
    missing = fetches.inflating.missing
    ways = [way for way in WAYS if not missing[way]]
    actions = [lambda way=way: fetches.by(way) for way in ways]
    actions.append(lambda: fetches.untar(blobs))
    if not no_podman:
        actions.append(lambda: fetches.pull("large"))
    *ours, untar, pull = in_turn(rounds, *actions, *([] if not no_podman else [lambda: Sample(0.0)]))
    samples = dict(zip(ways, ours))
    theirs = () if no_podman else pull
    return [
        *(
            Row(
                f"{WHAT}, {way}",
                samples.get(way, ()),
                missing[way] or no_podman or "podman pull",
                theirs,
                bound,
            )
            for way, bound in WAYS.items()
        ),
        Row(f"{WHAT}, zlib", samples["zlib"], "serial curl | tar xz, sync", untar, 0.6),
    ]


def _tiny(fetches: Fetches, no_podman: str, rounds: int) -> Row:
    actions = [fetches.tiny, *([] if no_podman else [lambda: fetches.pull("tiny")])]
    ours, *theirs = in_turn(rounds, *actions)
    peer = no_podman or "podman pull"
    return Row("fetch and render, a tiny image", ours, peer, theirs[0] if theirs else (), 0.5)


def _changed(fetches: Fetches, rounds: int) -> Row:
    firsts: list[Sample] = []
    (ours,) = in_turn(rounds, lambda: fetches.changed(firsts))
    return Row("fetch, 1 of 5 layers changed", ours, "the first fetch", firsts[1:], 0.3)
