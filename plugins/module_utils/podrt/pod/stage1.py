# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage1 of a pod: what it was prepared with, as its directory records, and how stage0 calls its entries.

stage0 calls every entry as a process of the podctl of the pod's own runtime, so that an upgrade never changes a pod
that is there. Which kind of stage1 it is, matters to that podctl alone: see stage1.entries.
"""

from __future__ import annotations

import os

from ..host.host import file_of_runtime
from ..value import Value
from . import documents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.host import Host
    from .lifecycle import Pod

NATIVE = "native"
# The entries, as commands of podctl.
_COMMANDS = {
    "run": ("run-prepared", "--detach"),
    "rehearse": ("rehearse",),
    "stop": ("stop",),
    "mend": ("mend",),
    "gc": ("stage1-gc",),
}
# The modules of a runtime that give it an entry: of this release, and of those before 0.3.0.
_ADDED = {"mend": ("stage1/starter/mend.py", "stage1/mend.py")}


class Stage1(Value):
    """The stage1 of one pod. root: its root directory. runtime, podctl: those that the pod was prepared with.

    kind: NATIVE.
    """

    uuid: str
    kind: str
    root: str
    runtime: str
    podctl: tuple[str, ...]

    def argv(self, entry: str, *flags: str) -> tuple[str, ...]:
        """The process that is an entry, for this pod."""
        return (*self.podctl, *_COMMANDS[entry], *flags, self.uuid)

    @staticmethod
    def command(entry: str) -> str:
        """The name of an entry for people."""
        return f"podctl {_COMMANDS[entry][0]}"

    def offers(self, entry: str) -> bool:
        """Whether it has an entry that not every release had."""
        return entry not in _ADDED or any(map(self.has_module, _ADDED[entry]))

    def has_module(self, name: str) -> bool:
        """Whether the pod's runtime has a module, by its file in podrt: it tells what that runtime does."""
        return os.path.isfile(file_of_runtime(self.runtime, name))


def stage1_of(host: Host, pod: Pod) -> Stage1:
    """The stage1 of a pod. Raises nothing: a damaged record is read as far as it goes."""
    pinned = documents.pinned(host, pod)
    return Stage1(pod.uuid, NATIVE, pod.dir.stage1_root, pinned.runtime, pinned.podctl)
