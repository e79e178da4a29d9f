# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""How far a value has to go: from the YAML of a task to the system call that it is for.

A real module makes a real pod, and a real podctl starts it, on a machine of the test's own; followed.py sees every call
that goes from one room to another, also in the processes that they fork. Two values are followed: a named volume, which
ends at open_tree(2), and an image that is not in the store yet, which ends at the mount of the overlay. In between both
are on disk: what the module has written, podctl reads.

- A room is a package; those of stage1 are several. What has no package, such as fields and value, is in no room.
- A call is counted that passes the value on to where it ends, or that gives it back to the room that has asked, by
  function. So looking it up again counts again, and so does every question that the value is the answer to.
- A hand-over is a pair of rooms with such calls, in their direction.
- Rooms that every other one stands on are not on the way: appc, which has the types, and host, which has the files and
  the system calls. What is said with them is counted beside it.
- A shape is the type that has the value itself, not what that one is in: of a volume in a PodSpec it is the volume.
  Options and documents are two more; what is only text belongs to the call.

The page of docs/devel has both ways, and the numbers, as they come out here.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.tests.integration.converge.conftest import Host
from ansible_collections.stagecraft.pods.tests.integration.playbooks.machine import CHECKOUT
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import write_image

FOLLOWED = pathlib.Path(__file__).with_name("followed.py")
PAGE = CHECKOUT / "docs" / "devel" / "architecture.md"
RUNTIME = CHECKOUT / "plugins" / "module_utils"
NOT_ON_THE_WAY = {"appc", "host"}
# TreeDir is the path of the image's tree, with names for the files in it.
NO_SHAPES = {"text", "bytes", "mapping", "TreeDir"}
VOLUME = "marked-volume"
IMAGE = "example.com/marked"
# What a way may cost: hand-overs, calls, hand-overs with appc and host, shapes.
MOST = {"volume": (7, 8, 13, 3), "image": (8, 15, 16, 8)}

Record = dict[str, Any]


class Way:
    """The calls of a value, in the order in which they were first made."""

    def __init__(self) -> None:
        self.calls: dict[tuple[str, str, str], set[str]] = {}

    def add(self, records: list[Record]) -> None:
        """What a program did until the value came to an end in it."""
        end = next(at for at, record in enumerate(records) if record["kind"] == "end")
        for step in sorted((*records[:end], *records[end]["steps"]), key=lambda step: int(step["at"])):
            self._add(step)

    def _add(self, step: Record) -> None:
        room, file, name = step["to"]
        self.calls.setdefault((step["room"], room, f"{file}.{name}"), set()).update(step["shapes"])

    @property
    def on_it(self) -> list[tuple[str, str, str]]:
        return [call for call in self.calls if not NOT_ON_THE_WAY & set(call[:2])]

    @property
    def shapes(self) -> list[str]:
        """Types, and the two kinds of mappings."""
        held = {shape for call in self.calls for shape in self.calls[call]}
        return ["options", *sorted(held - NO_SHAPES), "document"]

    @property
    def numbers(self) -> tuple[int, int, int, int]:
        """As MOST has them."""
        pairs = [{call[:2] for call in calls} for calls in (self.on_it, self.calls)]
        return len(pairs[0]), len(self.on_it), len(pairs[1]), len(self.shapes)

    @property
    def table(self) -> str:
        """The hand-overs as the page has them."""
        lines: dict[tuple[str, str], list[str]] = {}
        for caller, room, name in self.on_it:
            lines.setdefault((caller, room), []).append(f"`{name}`")
        rows = [f"| `{caller}` | `{room}` | {', '.join(names)} |" for (caller, room), names in lines.items()]
        return "\n".join(["| from | to | by |", "|---|---|---|", *rows])

    @property
    def sentence(self) -> str:
        hand_overs, calls, all_of_them, shapes = self.numbers
        named = ", ".join(f"`{shape}`" for shape in self.shapes)
        return (
            f"{hand_overs} hand-overs by {calls} calls, {all_of_them} with those to `appc` and `host`; "
            f"{shapes} shapes: {named}."
        )


def followed(host: Host, wanted: Mapping[str, object], *argv: str, options: str = "") -> list[Record]:
    """What is seen of a value in a program."""
    out = host.machine.base / "seen"
    out.unlink(missing_ok=True)
    collections = CHECKOUT / ".cache" / "collections"
    done = host.machine.run(
        *(sys.executable, "-B", str(FOLLOWED), str(out), json.dumps(wanted), *argv),
        input=options,
        env={**os.environ, "PYTHONPATH": str(collections)},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in out.read_text().splitlines()]


def way_of(host: Host, marks: list[str], written: Mapping[str, str], mounted: Mapping[str, str]) -> Way:
    """The way of what has these marks, through a task, to where it is written, and the start of its pod."""
    app = {"image": host.image, "name": "app", "mounts": [{"volume": "files", "target": "/mnt"}]}
    options = {
        **host.machine.directories,
        "runtime": str(RUNTIME),
        "name": "web",
        "state": "prepared",
        "apps": [app],
        "volumes": [{"name": "files", "volume": VOLUME}],
        "insecure_options": ["image"],
        "networks": ["none"],
    }
    way = Way()
    module = str(CHECKOUT / "plugins" / "modules" / "pod_run.py")
    wanted: dict[str, object] = {"marks": marks, "ends": written}
    way.add(followed(host, wanted, module, options=json.dumps({"ANSIBLE_MODULE_ARGS": options})))
    (uuid,) = host.machine.uuids()
    directories = (f"--dir={host.machine.data}", f"--local-config={host.machine.base / 'etc'}")
    launch = (str(RUNTIME / "podrt" / "launch.py"), *directories, "run-prepared", uuid)
    way.add(followed(host, {"marks": marks, "ends": mounted}, *launch))
    host.absent()
    return way


@pytest.fixture
def marked(host: Host, tmp_path: pathlib.Path) -> Host:
    """A host with a volume and an image file that can be told from all else."""
    app = {"exec": ["/bin/true"], "user": "0", "group": "0"}
    host.image = str(write_image(tmp_path / "marked.aci", IMAGE, app))
    host.task("pod_volume", name=VOLUME)
    return host


def marks_of(image: pathlib.Path) -> list[str]:
    """The file, the name, the beginning of the ID, which its layer is called by, and the tree."""
    digest = hashlib.sha512(image.read_bytes()).hexdigest()[:64]
    tree = hashlib.sha512(f"sha512-{digest}".encode()).hexdigest()[:64]
    return [str(image), IMAGE, digest[:24], tree]


@pytest.mark.parametrize("value", ["volume", "image"])
def test_a_value_goes_no_further_than_the_page_says(marked: Host, value: str) -> None:
    if value == "volume":
        way = way_of(marked, [VOLUME], {"host:write_new": "/pod"}, {"host:open_tree": "/data"})
    else:
        marks = marks_of(pathlib.Path(marked.image))
        way = way_of(marked, marks, {"host:write_new": "/lower"}, {"host:mount": "overlay"})
    seen = "\n".join(map(str, way.calls.items()))
    told = f"the page has another way; this is it:\n\n{way.table}\n\n{way.sentence}\n\n{seen}"
    page = PAGE.read_text()
    assert way.table in page and way.sentence in page, told
    assert all(number <= most for number, most in zip(way.numbers, MOST[value])), told
