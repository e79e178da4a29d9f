# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The service as a process, over its sockets: what it says, outlives and refuses."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Conflict, Unreachable
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.mds import register, registration
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.mds.process import serve
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import holders
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.mds.mdslab import (
    Service,
    asked,
    connected,
    eventually,
    got,
    place,
    received,
    registrant,
    resident,
    running_pod,
)

HEAD = "GET {} HTTP/1.1\r\nHost: h\r\n"


@pytest.fixture
def paths() -> Iterator[Paths]:
    """Directories whose names leave room for that of a socket."""
    base = tempfile.mkdtemp()
    yield Paths(data=f"{base}/data", run=f"{base}/run", leases=f"{base}/leases")
    shutil.rmtree(base)


@pytest.fixture
def service(paths: Paths) -> Iterator[Service]:
    found = Service(paths)
    yield found
    if found.process.poll() is None:
        found.end(signal.SIGKILL)


@pytest.mark.behaviour("F1", "F6")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well(service: Service, number: int) -> None:
    assert service.end(number) == 0
    assert service.lines == [f"metadata service {word}..." for word in ("starting", "running", "exiting")]
    assert not os.path.exists(service.paths.mds_socket)


@pytest.mark.behaviour("F1")
def test_only_root_registers(service: Service) -> None:
    assert stat.S_IMODE(os.stat(service.paths.mds_socket).st_mode) == 0o600


def test_there_is_one_on_a_host(service: Service) -> None:
    with pytest.raises(Conflict, match="the metadata service runs already"):
        serve(Host.here(service.paths), 0, lambda _line: None)
    assert os.path.exists(service.paths.mds_socket)


def test_it_tells_root_what_it_is(service: Service) -> None:
    found = register.service_facts(service.paths)
    assert found is not None
    assert found.pid == service.process.pid
    assert os.path.isdir(f"{found.runtime}/podrt")
    service.end()
    assert register.service_facts(service.paths) is None


@pytest.mark.behaviour("F1", "F2", "F5")
def test_a_pod_is_registered_and_asks(service: Service) -> None:
    with running_pod(service.paths) as pod:
        url = register.register(service.paths, registrant(pod))
        assert got(url, "pod/uuid") == (200, pod.uuid.encode())
        assert got(url, "apps/web/image/id") == (200, b"sha512-aabb")
        found = registration.recorded(pod.dir)
        assert found is not None
        assert (found.url, found.addresses, len(found.token)) == (url, ("127.0.0.1",), 32)
        assert stat.S_IMODE(os.stat(pod.dir.mds_registered).st_mode) == 0o600
        register.unregister(service.paths, pod.uuid, pod.dir)
        assert registration.recorded(pod.dir) is None
        assert got(url, "pod/uuid")[0] == 401
        register.unregister(service.paths, pod.uuid, pod.dir)
    service.end()
    said = [line for line in service.lines if " - " in line]
    assert "GET /TOKEN/acMetadata/v1/pod/uuid - 200" in said
    assert f"DELETE /pods/{pod.uuid} - 200" in said
    assert found.token not in "".join(service.lines)


@pytest.mark.behaviour("F2")
def test_a_service_that_is_missing_is_a_failure(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(register.time, "sleep", pauses.append)
    with pytest.raises(Unreachable, match=r"^could not reach the metadata service\.") as refused:
        register.check_reachable(paths)
    assert "mds_register (--mds-register)" in refused.value.hint  # of a task, and of podctl
    with running_pod(paths) as pod:
        with pytest.raises(Unreachable, match=r"^could not reach the metadata service\."):
            register.register(paths, registrant(pod))
        assert pauses == [1.0, 1.0]
        assert registration.recorded(pod.dir) is None


def test_a_second_service_finds_the_pods_that_run(paths: Paths) -> None:
    first = Service(paths)
    pod, ended = running_pod(paths), running_pod(paths)
    url = register.register(paths, registrant(pod))
    port = place(url)[1]
    gone = register.register(paths, registrant(ended))
    ended.close()
    holders.record(paths, pod.uuid)
    assert first.end() == 0
    second = Service(paths)
    try:
        with running_pod(paths) as another:
            other = place(register.register(paths, registrant(another)))[1]
        again, lost = (each.replace(f":{port}/", f":{other}/") for each in (url, gone))
        assert got(again, "pod/uuid") == (200, pod.uuid.encode())
        assert got(again, "apps/web/image/manifest")[0] == 200
        assert got(lost, "pod/uuid")[0] == 401
    finally:
        second.end()
        pod.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"\x16\x03\x01\r\n\r\n", b"400", id="another protocol"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", b"400", id="no host"),
        pytest.param(b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", b"431", id="a long target"),
        pytest.param(b"A" * 100_000, b"431", id="no end"),
        pytest.param(
            b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999999\r\n\r\n",
            b"401",
            id="no right to send",
        ),
    ],
)
def test_a_malformed_request_is_answered(service: Service, sent: bytes, status: bytes) -> None:
    with running_pod(service.paths) as pod:
        url = register.register(service.paths, registrant(pod))
        assert asked(url, sent).startswith(b"HTTP/1.1 " + status)
        assert got(url, "pod/uuid")[0] == 200


@pytest.mark.finding("attack7-F7")
@pytest.mark.parametrize("query", [b"\nDELETE /pods/x - 200", b"\x1b[2J", b"\rmetadata", b"\xe2\x80\xa8"])
def test_a_stranger_writes_no_line_of_the_log(service: Service, query: bytes) -> None:
    with running_pod(service.paths) as pod:
        url = register.register(service.paths, registrant(pod))
        sent = b"GET /?" + query.replace(b" ", b"\t") + b" HTTP/1.1\r\nHost: h\r\n\r\n"
        assert asked(url, sent).startswith(b"HTTP/1.1 400")
    service.end()
    assert not any("x - 200" in line or "DELETE" in line for line in service.lines)
    assert all(line.isprintable() for line in service.lines)


def test_several_requests_come_by_one_connection(service: Service) -> None:
    with running_pod(service.paths) as pod:
        url = register.register(service.paths, registrant(pod))
        target = f"{place(url)[2]}/acMetadata/v1/pod/uuid"
        sent = (HEAD.format(target) + "\r\n") * 3 + HEAD.format(target) + "Connection: close\r\n\r\n"
        assert asked(url, sent.encode()).count(pod.uuid.encode()) == 4


def test_a_client_that_waits_is_asked_for_its_body(service: Service) -> None:
    with (
        running_pod(service.paths) as pod,
        connected(url := register.register(service.paths, registrant(pod))) as one,
    ):
        head = (
            f"POST {place(url)[2]}/acMetadata/v1/pod/hmac/sign HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
        )
        one.sendall(head.encode())
        assert one.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        one.sendall(b"content=x")
        assert received(one).startswith(b"HTTP/1.1 200 ")


def test_a_large_answer_comes_whole_to_a_slow_reader(service: Service) -> None:
    with running_pod(service.paths) as pod:
        url = register.register(service.paths, registrant(pod))
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.connect(place(url)[:2])
            target = f"{place(url)[2]}/acMetadata/v1/pod/annotations/large"
            one.sendall(f"{HEAD.format(target)}Connection: close\r\n\r\n".encode())
            assert got(url, "pod/uuid")[0] == 200
            assert received(one).endswith(b"x" * 300_000)


def test_clients_that_say_nothing_keep_no_other_waiting(service: Service) -> None:
    """A new one is refused only while all the others are younger than a second."""
    with running_pod(service.paths) as pod, contextlib.ExitStack() as silent:
        url = register.register(service.paths, registrant(pod))
        for number in range(128):
            each = silent.enter_context(connected(url))
            if number % 2:
                each.sendall(b"GET /")

        def is_answered() -> bool:
            try:
                return got(url, "pod/uuid")[0] == 200
            except ConnectionError:
                return False

        eventually(is_answered)


@pytest.mark.slow
def test_memory_stays_flat(service: Service) -> None:
    with running_pod(service.paths) as pod:
        url = register.register(service.paths, registrant(pod))
        failed: list[int] = []

        def ask() -> None:
            for _number in range(1500):
                status, _body = got(url, "pod/uuid")
                if status != 200:
                    failed.append(status)

        def load() -> None:
            threads = [threading.Thread(target=ask) for _number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        service.process.stdout.close()  # type: ignore[union-attr]  # nothing reads its lines, and it serves all the same
        load()
        before = resident(service)
        load()
        assert failed == []
        assert resident(service) - before < 1024
        open_files = pathlib.Path(f"/proc/{service.process.pid}/fd")
        eventually(lambda: len(list(open_files.iterdir())) < 20)
