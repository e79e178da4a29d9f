# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The error of an entry of stage1 arrives unchanged: by its document, or without one as it was printed."""

from __future__ import annotations

import pathlib
import socket
import sys
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    FAMILIES,
    HostFailure,
    PodError,
    of_kind,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import failure, lifecycle
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.entry import call

STAGES = {"rehearse": "rehearse", "run": "start", "stop": "stop", "gc": "gc"}
# In place of a runtime's podctl: runs what a test has written into its file.
ENTRY = "import sys; sys.path[:0] = {path!r}; exec(open({script!r}).read())\n"


class Runtime:
    """A pod, and a runtime whose entries are scripts of the test."""

    def __init__(self, base: pathlib.Path, pod: lifecycle.Pod) -> None:
        self.pod = pod
        self.script = base / "script"
        launch = base / "runtime" / "podrt" / "launch.py"
        launch.parent.mkdir(parents=True)
        launch.write_text(ENTRY.format(path=sys.path, script=str(self.script)))
        self.host = Host(pod.paths, "amd64", f"{base}/runtime", sys.executable)

    def failing(self, script: str, verb: str) -> PodError:
        """The error of a call whose entry does this."""
        self.script.write_text(script)
        with pytest.raises(PodError) as caught:
            call(self.host, self.pod, verb)
        return caught.value


@pytest.fixture
def runtime(tmp_path: pathlib.Path) -> Iterator[Runtime]:
    with lifecycle.create(Paths(data=str(tmp_path / "data"))) as pod:
        pathlib.Path(pod.dir.stage1_root).mkdir(parents=True)
        yield Runtime(tmp_path, pod)


@pytest.mark.parametrize("verb", STAGES)
@pytest.mark.parametrize("kind", FAMILIES)
def test_each_family_arrives_as_it_was(runtime: Runtime, kind: str, verb: str) -> None:
    facts = {"where": "apps[0].exec", "errno": 13, "app": "web", "exit_code": 3}
    error = of_kind(kind, 'cannot do it: "why"', "do: that", **facts)
    failure.record_failure(runtime.pod.dir, error, STAGES[verb])
    document = pathlib.Path(runtime.pod.dir.failure)
    left = document.read_text()
    document.unlink()
    found = runtime.failing(
        f"open({str(document)!r}, 'w').write({left!r}); sys.exit('stage1: nonsense')", verb
    )
    assert (type(found), found.message, found.hint) == (FAMILIES[kind], error.message, error.hint)
    assert found.facts == {**facts, "stage": STAGES[verb]}


def test_what_an_earlier_entry_has_left_is_not_taken_for_this_ones(runtime: Runtime) -> None:
    failure.record_failure(runtime.pod.dir, of_kind("not-found", "earlier"), "rehearse")
    found = runtime.failing("sys.exit(9)", "rehearse")
    assert (found.kind, found.message) == ("host-failure", "podctl rehearse ended with status 9")


def test_text_of_an_older_runtime_is_shown_as_it_was_printed(runtime: Runtime) -> None:
    said = "networking: x\nstage1: broken\nstage1: hint: mend it"
    found = runtime.failing(f"sys.exit({said!r})", "run")
    assert (type(found), found.message, found.hint) == (HostFailure, said, "")
    assert found.facts["uuid"] == runtime.pod.uuid


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"kind": 3}', b"\0" * 100, b'{"kind":"not-found"}', b"\xff\xfe"]
)
def test_a_damaged_document_is_none(runtime: Runtime, damage: bytes) -> None:
    document = runtime.pod.dir.failure
    pathlib.Path(document).parent.mkdir()
    found = runtime.failing(f"open({document!r}, 'wb').write({damage!r}); sys.exit('printed')", "rehearse")
    assert (type(found), found.message) == (HostFailure, "printed")


def test_a_kind_of_a_later_release_is_a_failure_of_the_host(runtime: Runtime) -> None:
    failure.record_failure(runtime.pod.dir, of_kind("not-found", "why"), "start")
    path = pathlib.Path(runtime.pod.dir.failure)
    path.write_text(
        path.read_text().replace('"format":1', '"format":7,"new":[]').replace("not-found", "novel")
    )
    found = failure.read(runtime.pod.dir)
    assert found is not None
    assert (found.kind, found.message) == ("host-failure", "why")


def test_nothing_is_made_where_the_directory_of_a_pod_has_gone(tmp_path: pathlib.Path) -> None:
    pod = Paths(data=str(tmp_path)).pod("run", "u")
    failure.record_failure(pod, of_kind("not-found", "why"), "stop")
    assert list(tmp_path.iterdir()) == []


def test_odd_characters_do_not_keep_a_document_from_being_read(runtime: Runtime) -> None:
    failure.record_failure(runtime.pod.dir, of_kind("corrupt", "a\0b\udce4c", "h\0", path="\0"), "start")
    found = failure.read(runtime.pod.dir)
    assert found is not None
    assert (found.kind, found.message, found.hint) == ("corrupt", "a\ufffdb?c", "h\ufffd")


def test_what_a_collection_could_not_clean_up_is_in_the_log_of_the_host(
    runtime: Runtime, tmp_path: pathlib.Path
) -> None:
    runtime.script.write_text("sys.stderr.write('stage1: warning: it failed')")
    place = str(tmp_path / "log")
    host = runtime.host.replace(paths=runtime.host.paths.replace(log=place))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(place)
        call(host, runtime.pod, "gc")
        told = log.recv(4096).decode()
    assert told.endswith(f"pod {runtime.pod.uuid}: stage1: warning: it failed")
