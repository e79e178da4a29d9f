# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of networks that attach a pod as they should, and hang or lie when they are asked for anything else."""

from __future__ import annotations

import json
import pathlib
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import HostFailure
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.drivers import external
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.record import members_of, read_copies
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    NetLab,
    Pod,
    in_own_network,
    inside,
    ip,
)

PTP = {"type": "ptp", "ipam": {"type": "host-local", "subnet": "10.7.0.0/24"}}
# What it does is in the file "bad" beside it, if there is one.
PROGRAM = """#!/bin/sh
here=$(dirname "$0")
conf=$(cat)
echo "$CNI_COMMAND $CNI_CONTAINERID" >> "$here/calls"
test "$CNI_COMMAND" != ADD || echo "$conf" | sed 's/.*"prevResult"://; s/}$//; s/,"type":.*//'
test "$CNI_COMMAND" != ADD && test -e "$here/bad" && . "$here/bad"
exit 0
"""
BAD = {
    "hangs": ("sleep 60", "was killed: it has not ended within 1 seconds"),
    "hangs and closes its output": (
        "exec >&- 2>&-; sleep 60",
        "was killed: it has not ended within 1 seconds",
    ),
    "ignores signals": (
        "trap '' TERM HUP INT; sleep 60; sleep 60",
        "was killed: it has not ended within 1 seconds",
    ),
    "huge": ("yes", "it has printed more than 16 MiB"),
    "refuses": ("""echo '{"code": 7, "msg": "not\\u001b[2J today"}'; exit 1""", "not"),
    "dies": ("kill -9 $$", "exit status 137"),
    "garbage": ("head -c 3000 /dev/urandom; exit 4", "exit status 4"),
}
EVERY_BAD = pytest.mark.parametrize(("bad", "said"), BAD.values(), ids=BAD)


class Hostile:
    """A pod on a network of ours and of a program."""

    def __init__(self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for command in ("DEL", "CHECK", "GC"):
            monkeypatch.setitem(external._SECONDS, command, 1.0)
        self.lab = NetLab(tmp_path)
        self.place = pathlib.Path(self.lab.paths.plugin_dirs[1])
        self.place.mkdir(parents=True)
        (self.place / "script").write_text(PROGRAM)
        (self.place / "script").chmod(0o755)
        plugins = [PTP, {"type": "script"}]
        self.lab.conf("10-n.conflist", json.dumps({"cniVersion": "1.1.0", "name": "n", "plugins": plugins}))
        self.before = self.lab.snapshot()
        self.pod: Pod = self.lab.pod().attach("n")

    def become(self, bad: str) -> None:
        (self.place / "bad").write_text(bad + "\n")

    def recover(self) -> None:
        (self.place / "bad").unlink()

    def calls(self) -> list[str]:
        return [line.split()[0] for line in (self.place / "calls").read_text().splitlines()]


@pytest.mark.behaviour("E9", "E25")
@EVERY_BAD
@in_own_network
def test_a_program_that_does_not_take_back_what_it_made_is_told_and_asked_again(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, bad: str, said: str
) -> None:
    hostile = Hostile(tmp_path, monkeypatch)
    hostile.become(bad)
    begun = time.monotonic()
    with pytest.raises(HostFailure) as caught:
        hostile.pod.detach()
    assert time.monotonic() - begun < 10
    told = str(caught.value)
    assert 'plugin "script" of network "n": ' in told and said in told
    assert told.isprintable()
    # What is ours has gone all the same, and the record of the rest stays.
    assert hostile.lab.snapshot() == hostile.before
    hostile.recover()
    hostile.pod.detach()
    assert hostile.calls() == ["ADD", "DEL", "DEL"]
    hostile.pod.detach()
    assert hostile.calls() == ["ADD", "DEL", "DEL"]


@pytest.mark.behaviour("E9")
@EVERY_BAD
@in_own_network
def test_a_program_that_does_not_look_is_a_complaint_and_the_pod_stays_as_it_is(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, bad: str, said: str
) -> None:
    hostile = Hostile(tmp_path, monkeypatch)
    members = members_of(hostile.pod.joining, read_copies(hostile.pod.joining))
    assert external.complaints(members) == ()
    hostile.become(bad)
    begun = time.monotonic()
    ((network, complaint),) = external.complaints(members)
    assert time.monotonic() - begun < 10
    assert (network, said in complaint, complaint.isprintable()) == (0, True, True), complaint
    assert hostile.calls() == ["ADD", "CHECK", "CHECK"]
    with inside(hostile.pod.netns):
        assert "10.7.0.2/24" in ip("address", "show", "eth0")
    hostile.recover()
    hostile.pod.detach()


@EVERY_BAD
@in_own_network
def test_a_program_that_does_not_collect_is_told(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, bad: str, said: str
) -> None:
    hostile = Hostile(tmp_path, monkeypatch)
    hostile.become(bad)
    ((member, _result),) = members_of(hostile.pod.joining, read_copies(hostile.pod.joining))
    plugin = member.conf.plugins[1]
    with pytest.raises(HostFailure) as caught:
        external.ProgramDriver().collect(member.conf, plugin, (), hostile.lab.paths)
    assert said in str(caught.value)
    assert hostile.calls() == ["ADD", "GC"]
