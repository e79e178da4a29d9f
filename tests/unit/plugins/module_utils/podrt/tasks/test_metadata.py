# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The task pod_metadata_service: as a process that really runs, and as units of a systemd that does not."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Conflict,
    HostFailure,
    InvalidSpec,
    PodError,
    Unsupported,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.programs import Completed
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.mds.register import (
    register,
    service_facts,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.units import started_runtimes
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks.metadata import pod_metadata_service
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.mds.mdslab import (
    RUNTIME,
    registrant,
    running_pod,
)

_PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from podrt.cli.call import complain, say
from podrt.errors import PodError
from podrt.host.host import Host
from podrt.host.paths import Paths
from podrt.mds.process import serve
host = Host.here(Paths(data=sys.argv[2], run=sys.argv[3])).replace(runtime=sys.argv[4])
try:
    serve(host, int(sys.argv[5]), lambda line: say("metadata-service", line), detach=True)
except PodError as err:
    complain("metadata-service", err, debug=False)
    sys.exit(254)
"""


class Machine:
    """systemctl, and podctl metadata-service, on a host whose directories are a test's."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.calls: list[str] = []
        self.active = False
        self.complaint = ""  # of a socket that cannot be opened

    def __call__(
        self, argv: Sequence[str], *, seconds: float, called: str, forked: bool = False
    ) -> Completed:
        if argv[0] == "systemctl":
            return self._systemctl([word for word in argv[1:] if not word.startswith("-")])
        runtime = argv[argv.index("metadata-service") - 4].removesuffix("/podrt/launch.py")
        port = next(word for word in argv if word.startswith("--listen-port=")).partition("=")[2]
        program = [
            sys.executable,
            "-c",
            _PROGRAM,
            str(RUNTIME),
            self.paths.data,
            self.paths.run,
            runtime,
            port,
        ]
        done = subprocess.run(program, capture_output=True, check=False, timeout=30)
        return Completed(done.returncode, done.stdout, done.stderr)

    def _systemctl(self, words: list[str]) -> Completed:
        verb, *_units = words
        self.calls.append(" ".join(words))
        if verb == "is-active":
            return Completed(0 if self.active else 3, b"", b"")
        if verb == "start" and self.complaint:
            return Completed(1, b"", self.complaint.encode())
        if verb in ("start", "stop"):
            self.active = verb == "start"
        if verb in ("enable", "disable"):
            os.makedirs(os.path.dirname(self.paths.enabled_mds), exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.paths.enabled_mds)
            if verb == "enable":
                os.symlink(self.paths.mds_units[1], self.paths.enabled_mds)
        return Completed(0, b"", b"")


@pytest.fixture
def host() -> Iterator[Host]:
    base = tempfile.mkdtemp()
    paths = Paths(data=f"{base}/data", run=f"{base}/run", units=f"{base}/units", systemd=f"{base}/systemd")
    os.makedirs(paths.units)
    found = Host.here(paths).replace(programs=Machine(paths), runtime=f"{base}/data/runtime/one")
    yield found
    facts = service_facts(paths)
    if facts:
        os.kill(facts.pid, signal.SIGKILL)
    shutil.rmtree(base)


@pytest.fixture
def systemd(host: Host) -> Machine:
    os.mkdir(host.paths.systemd)
    machine = host.programs
    assert isinstance(machine, Machine)
    return machine


def task(host: Host, *, check: bool = False, **options: Any) -> dict[str, Any]:
    return pod_metadata_service(host, Fields(options, ""), check=check)


def told(result: dict[str, Any]) -> list[tuple[str, str | None, str | None, str]]:
    return [
        (each["path"].partition(".")[2], each["before"], each["after"], each["reason"])
        for each in result["changes"]
    ]


def test_a_process_is_started_once_and_stopped_once(host: Host) -> None:
    started = [("state", "stopped", "started", "playbook")]
    assert told(task(host, check=True, port=28111)) == started
    assert service_facts(host.paths) is None
    result = task(host, port=28111)
    assert told(result) == started
    assert result["service"] == {
        "manager": "process",
        "running": True,
        "enabled": False,
        "port": 28111,
        "socket": host.paths.mds_socket,
    }
    facts = service_facts(host.paths)
    assert task(host, port=28111)["changed"] is False
    assert service_facts(host.paths) == facts
    stopped = [("state", "started", "stopped", "playbook")]
    assert told(task(host, check=True, state="stopped")) == stopped
    assert told(task(host, state="stopped")) == stopped
    assert service_facts(host.paths) is None
    assert task(host, state="absent")["changed"] is False
    task(host, port=28111)
    assert told(task(host, state="absent")) == stopped
    assert os.listdir(host.paths.run) == []


def test_a_process_of_another_port_or_runtime_is_replaced(host: Host) -> None:
    task(host, port=28112)
    assert told(task(host, port=28113)) == [("port", "28112", "28113", "playbook")]
    other = host.replace(runtime=f"{os.path.dirname(host.runtime)}/two")
    assert told(task(other, port=28113)) == [("runtime", "one", "two", "runtime")]
    before = service_facts(host.paths)
    assert told(task(other, port=28113, state="restarted")) == [("state", "started", "restarted", "playbook")]
    after = service_facts(host.paths)
    assert before and after and before.pid != after.pid


def test_the_pid_of_a_process_that_has_ended_is_not_signalled(host: Host) -> None:
    os.makedirs(host.paths.run)
    pathlib.Path(host.paths.mds_pid).write_text(f"{os.getpid()}\n")
    assert task(host, state="stopped")["changed"] is False
    task(host, port=28114)
    task(host, state="stopped")


def test_only_systemd_starts_it_at_boot(host: Host) -> None:
    with pytest.raises(Unsupported, match="only systemd"):
        task(host, enabled=True)


@pytest.mark.parametrize("port", [0, 65536, -1])
def test_a_port_is_one(host: Host, port: int) -> None:
    with pytest.raises(InvalidSpec, match="is not a port"):
        task(host, port=port)


def test_units_are_written_enabled_and_opened_once(host: Host, systemd: Machine) -> None:
    wanted = [
        ("units", "absent", "as described", "playbook"),
        ("enabled", "false", "true", "playbook"),
        ("state", "stopped", "started", "playbook"),
    ]
    assert told(task(host, check=True)) == wanted
    assert os.listdir(host.paths.units) == []
    result = task(host)
    assert told(result) == wanted
    assert result["service"]["running"]
    assert result["service"]["port"] == 18112
    assert systemd.calls[-2:] == ["start pods-metadata.socket", "is-active pods-metadata.socket"]
    service, socket = (pathlib.Path(path).read_text() for path in host.paths.mds_units)
    assert f"{host.runtime}/podrt/launch.py" in service
    assert "ListenStream=0.0.0.0:18112\n" in socket
    assert f"ListenStream={host.paths.mds_socket}\nSocketMode=0600\n" in socket
    assert task(host)["changed"] is False
    assert started_runtimes(host) == {host.runtime}


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"port": 28112}, ("port", "18112", "28112", "playbook")),
        ({"enabled": False}, ("enabled", "true", "false", "playbook")),
        ({"state": "restarted"}, ("state", "started", "restarted", "playbook")),
    ],
    ids=repr,
)
def test_what_differs_of_units_is_told(
    host: Host, systemd: Machine, change: dict[str, Any], differs: tuple[str, str, str, str]
) -> None:
    task(host)
    assert told(task(host, check=True, **change)) == told(task(host, **change)) == [differs]
    if "state" not in change:
        assert task(host, **change)["changed"] is False


def test_units_of_another_runtime_are_outdated_and_others_edited(host: Host, systemd: Machine) -> None:
    task(host)
    other = host.replace(runtime=f"{os.path.dirname(host.runtime)}/two")
    assert told(task(other)) == [("units", "outdated", "as described", "runtime")]
    with open(host.paths.mds_units[1], "a", encoding="utf-8") as unit:
        unit.write("# by hand\n")
    assert told(task(other)) == [("units", "edited", "as described", "drift")]
    pathlib.Path(host.paths.mds_unread).touch()
    assert told(task(other)) == [("units", "not loaded", "as described", "drift")]
    systemd.active = False
    assert told(task(other)) == [("state", "stopped", "started", "playbook")]


def test_units_are_closed_and_removed(host: Host, systemd: Machine) -> None:
    task(host)
    closed = [("enabled", "true", "false", "playbook"), ("state", "started", "stopped", "playbook")]
    assert told(task(host, state="stopped")) == closed
    assert task(host, state="stopped")["changed"] is False
    assert not systemd.active
    assert told(task(host, state="absent")) == [("units", "as described", None, "playbook")]
    assert [each for each in os.listdir(host.paths.units) if "." in each and "wants" not in each] == []
    assert task(host, state="absent")["changed"] is False
    assert task(host, state="stopped")["changed"] is False


def test_a_unit_of_an_administrator_stays(host: Host, systemd: Machine) -> None:
    path = pathlib.Path(host.paths.mds_units[0])
    path.write_text("[Service]\n")
    for state in ("started", "absent"):
        with pytest.raises(Conflict, match="was not written for pods in"):
            task(host, state=state)
    assert path.read_text() == "[Service]\n"


@pytest.mark.finding("trial7-F8")
def test_a_start_that_fails_says_why(host: Host) -> None:
    task(host, port=28115)
    busy = host.replace(paths=host.paths.replace(run=f"{host.paths.run}2"))
    busy = busy.replace(programs=Machine(busy.paths))
    with pytest.raises(PodError) as failed:
        task(busy, port=28115)
    assert failed.value.message == (
        "cannot start the metadata service: cannot listen on port 28115: address already in use"
    )
    assert failed.value.hint == "choose another one: port of the module, --listen-port of podctl"
    broken = busy.replace(programs=lambda *_argv, **_named: Completed(127, b"", b""))
    with pytest.raises(PodError, match="cannot start the metadata service: exit status 127") as failed:
        task(broken, port=28115)
    assert failed.value.hint == ""


def test_a_socket_that_systemd_cannot_open_is_told_with_what_to_do(host: Host, systemd: Machine) -> None:
    systemd.complaint = (
        "Job for pods-metadata.socket failed.\n"
        'See "systemctl status pods-metadata.socket" and "journalctl -xeu pods-metadata.socket" for details.\n'
    )
    with pytest.raises(HostFailure) as failed:
        task(host, port=28118)
    assert failed.value.message == (
        "cannot start the metadata service: systemctl start pods-metadata.socket failed: "
        'Job for pods-metadata.socket failed. See "systemctl status pods-metadata.socket" and '
        '"journalctl -xeu pods-metadata.socket" for details.'
    )
    assert failed.value.hint == (
        "systemctl status pods-metadata.socket and journalctl -u pods-metadata.socket say why; "
        "ss -lntp shows whether another process has port 28118"
    )
    systemd.complaint = ""
    assert told(task(host, port=28118)) == [("state", "stopped", "started", "playbook")]


@pytest.mark.finding("trial7-F8")
def test_pods_with_the_port_of_before_are_named(host: Host) -> None:
    task(host, port=28116)
    with running_pod(host.paths) as pod:
        register(host.paths, registrant(pod))
        assert task(host, port=28116)["warnings"] == []
        for check in (True, False):
            [warning] = task(host, check=check, port=28117)["warnings"]
            assert warning.startswith("apps do not find the metadata service on its new port 28117")
            assert warning.endswith(f": {pod.uuid}")
        assert task(host, port=28117)["warnings"] == []
        assert task(host, state="stopped")["warnings"] == []
        assert task(host, port=28116)["warnings"] == []
