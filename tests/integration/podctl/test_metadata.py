# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The metadata service, asked from inside of pods. Each test has a network and a /run of its own."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.syscalls import CLONE_NEWNET, setns
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import in_own_network
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import (
    PODCTL,
    PodHost,
    eventually,
    write_image,
)
from ansible_collections.stagecraft.pods.tests.integration.podctl.stage1lab import (
    ENTER,
    RUN,
    STOP,
    write_stage1,
)
from ansible_collections.stagecraft.pods.tests.integration.podctl.test_networks import end

SOCKET = pathlib.Path("/run/pods/metadata-svc.sock")
PORT = 18112
REFUSED = "could not reach the metadata service. "
WAITS = "trap 'exit 0' TERM; echo up; while true; do sleep 0.1; done"
# ask METHOD PATH [FORM]: the status and the body, in one line. URL may come from another pod.
ASK = r"""
ask() {
    rest=${URL:-$AC_METADATA_URL}; rest=${rest#http://}; place=${rest%%/*}; token=${rest#*/}
    printf '%s\r\n' "$1 /$token/acMetadata/v1/$2 HTTP/1.1" "Host: $place" "Connection: close" \
        "Content-Type: application/x-www-form-urlencoded" "Content-Length: ${#3}" "" > /tmp/asked
    printf %s "$3" >> /tmp/asked
    nc "${place%:*}" "${place#*:}" < /tmp/asked | {
        read -r version status reason
        while read -r line && [ ${#line} -gt 1 ]; do :; done
        echo "$status $(cat)"
    }
}
"""


def in_own_run(test: object) -> object:
    """Run a test in namespaces of its own, with an empty /run."""

    def wrapped(*args: object, **kwargs: object) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "run", "/run"], check=True)
        test(*args, **kwargs)  # type: ignore[operator]

    wrapped.__name__ = test.__name__  # type: ignore[attr-defined]
    wrapped.__wrapped__ = test  # type: ignore[attr-defined]
    return in_own_network(wrapped)


@contextlib.contextmanager
def service(pods: PodHost, *flags: str) -> Iterator[subprocess.Popen[str]]:
    """A service, that ends with status 0. Its log is in a file: a pipe would have to be read."""
    with open(pods.base / "service.log", "a", encoding="utf-8") as log:
        process = subprocess.Popen(
            [PODCTL, *pods.where, "metadata-service", *flags], stderr=log, stdin=subprocess.DEVNULL, text=True
        )
    eventually(lambda: said(pods)[-1:] == ["metadata service running..."])
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def said(pods: PodHost) -> list[str]:
    lines = (pods.base / "service.log").read_text().splitlines()
    return [line.removeprefix("metadata-service: ") for line in lines]


def registered(pods: PodHost, net: str = "default", script: str = WAITS, *flags: str) -> str:
    """A pod that runs and is registered; returns its UUID."""
    uuid = pods.ok("prepare", "--quiet", pods.image, "--exec=/bin/sh", *flags, "--", "-c", script)
    pods.ok("run-prepared", "--detach", f"--net={net}", "--mds-register", uuid)
    return uuid


def recorded(pods: PodHost, uuid: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((pods.data / "pods/run" / uuid / "mds-registered").read_text())
    return found


def inside(pods: PodHost, uuid: str, script: str, url: str = "", app: str = "") -> list[str]:
    """The lines of a script in a pod, which may ask. url: in place of the pod's own. app: where it has several."""
    which = (f"--app={app}",) if app else ()
    return pods.ok("enter", *which, uuid, "/bin/sh", "-c", f"URL={url}\n{ASK}\n{script}").splitlines()


@pytest.mark.behaviour("A52", "C8", "D6", "E26", "F1", "F2", "F3", "F4", "F5", "F6")
@pytest.mark.parametrize(
    ("net", "address", "source"),
    [
        ("default", "172.16.28.1", "172.16.28."),
        ("default-restricted", "172.31.0.1", "172.31.0."),
        ("host", "127.0.0.1", "127.0.0.1"),
    ],
)
@in_own_run
def test_a_pod_asks_for_its_metadata(pods: PodHost, net: str, address: str, source: str) -> None:
    paths = (
        *("pod/uuid", "pod/annotations", "pod/manifest", "apps/$AC_APP_NAME/image/id"),
        *("apps/$AC_APP_NAME/image/manifest", "apps/$AC_APP_NAME/annotations", "apps/other/image/id"),
    )
    script = ASK + "echo $AC_METADATA_URL\n" + "\n".join(f"ask GET {path}" for path in paths)
    with service(pods):
        uuid = registered(pods, net, f"{script}\n{WAITS}", "--annotation=of=app")
        eventually(lambda: "up" in pods.ok("logs", uuid))
        found = recorded(pods, uuid)
        url, *answers = [line for line in pods.ok("logs", uuid).splitlines() if line != "up"]
        assert url == found["url"] == f"http://{address}:{PORT}/{found['token']}"
        assert all(str(each).startswith(source) for each in found["addresses"])  # type: ignore[attr-defined]
        manifest = json.loads(pods.ok("cat-manifest", uuid))
        assert answers[0] == f"200 {uuid}"
        assert json.loads(answers[1][4:]) == manifest["annotations"]
        assert answers[2].startswith("200 ")
        assert json.loads(answers[2][4:]) == manifest
        assert answers[3] == f"200 {manifest['apps'][0]['image']['id']}"
        assert json.loads(answers[4][4:])["name"] == "example.com/busybox"
        assert json.loads(answers[5][4:]) == [{"name": "of", "value": "app"}]
        assert answers[6].startswith("404 ")
        end(pods)
    assert said(pods)[:2] == ["metadata service starting...", "metadata service running..."]
    assert said(pods)[-1] == "metadata service exiting..."
    assert "GET /TOKEN/acMetadata/v1/pod/uuid - 200" in said(pods)
    assert f"DELETE /pods/{uuid} - 200" in said(pods)
    assert str(found["token"]) not in "".join(said(pods))
    assert not SOCKET.exists()


@pytest.mark.behaviour("F4")
@in_own_run
def test_only_the_pod_whose_token_it_is_gets_its_data(pods: PodHost) -> None:
    with service(pods):
        one, two = registered(pods), registered(pods)
        urls = [str(recorded(pods, uuid)["url"]) for uuid in (one, two)]
        assert inside(pods, one, "ask GET pod/uuid") == [f"200 {one}"]
        assert inside(pods, two, "ask GET pod/uuid") == [f"200 {two}"]
        assert inside(pods, two, "ask GET pod/uuid", urls[0])[0].startswith("401 ")
        assert inside(pods, one, "ask GET pod/uuid", urls[0][:-1])[0].startswith("401 ")
        assert inside(pods, one, "ask GET pod/nothing")[0].startswith("404 ")
        assert inside(pods, one, "ask GET apps/nothing/image/id")[0].startswith("404 ")
        end(pods)


@pytest.mark.behaviour("F4")
@in_own_run
def test_a_signature_of_one_pod_is_verified_by_another(pods: PodHost) -> None:
    with service(pods):
        one, two = registered(pods), registered(pods, "default-restricted")
        (signed,) = inside(pods, one, "ask POST pod/hmac/sign content=a+b%26c")
        assert signed.startswith("200 ")
        signature = signed[4:].replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
        for uuid, content, status in (
            (one, "a+b%26c", "200"),
            (two, "a+b%26c", "403"),
            (one, "a+b", "403"),
            ("x", "a", "400"),
        ):
            form = f"content={content}&uuid={uuid}&signature={signature}"
            assert inside(pods, two, f"ask POST pod/hmac/verify '{form}'")[0].split(" ")[0] == status
        end(pods)


@pytest.mark.behaviour("C8", "C46")
@in_own_run
def test_handlers_have_the_url(pods: PodHost) -> None:
    tell = 'echo "$AC_METADATA_URL" > /data/$0'
    app = {
        "exec": ["/bin/sh", "-c", tell, "app"],
        "user": "0",
        "group": "0",
        "eventHandlers": [
            {"name": name, "exec": ["/bin/sh", "-c", tell, name]} for name in ("pre-start", "post-stop")
        ],
    }
    image = str(write_image(pods.base / "handled.aci", "example.com/handled", app))
    (pods.base / "told").mkdir()
    with service(pods):
        done = pods.podctl(
            *("run", "--mds-register", f"--volume=data,kind=host,source={pods.base}/told", image),
            "--mount=volume=data,target=/data",
        )
        assert done.status == 0, done.err
        (uuid,) = pods.uuids()
        url = recorded(pods, uuid)["url"]
        told = {path.name: path.read_text().strip() for path in (pods.base / "told").iterdir()}
        assert told == dict.fromkeys(("pre-start", "app", "post-stop"), url)
        end(pods)


@pytest.mark.behaviour("C8")
@in_own_run
def test_an_app_that_is_added_asks_as_well(pods: PodHost) -> None:
    os.environ["RKT_EXPERIMENT_APP"] = "true"
    with service(pods):
        file = pods.base / "uuid"
        done = pods.podctl(
            "app", "sandbox", "--detach", "--net=default", "--mds-register", f"--uuid-file-save={file}"
        )
        assert done.status == 0, done.err
        uuid = file.read_text()
        pods.ok("fetch", pods.image)
        script = f"{ASK}\nask GET apps/web/image/id\necho $AC_METADATA_URL\n{WAITS}"
        pods.ok("app", "add", uuid, pods.image, "--name=web", "--exec=/bin/sh", "--", "-c", script)
        pods.ok("app", "start", uuid, "--app=web")
        eventually(lambda: "up" in pods.ok("logs", uuid))
        status, url, _up = pods.ok("logs", uuid).splitlines()
        assert status.startswith("200 sha512-")
        assert url == recorded(pods, uuid)["url"]
        assert inside(pods, uuid, "echo $AC_METADATA_URL") == [url]
        end(pods)


@pytest.mark.behaviour("A52", "F5", "F6")
@in_own_run
def test_a_service_that_is_started_again_knows_the_pods_that_run(pods: PodHost) -> None:
    with service(pods, "--listen-port=18999"):
        uuid = registered(pods)
        gone = registered(pods, script="true")
        pods.wait(gone)
        assert str(recorded(pods, uuid)["url"]).startswith("http://172.16.28.1:18999/")
        (signed,) = inside(pods, uuid, "ask POST pod/hmac/sign content=x")
    with service(pods, "--listen-port=18999"):
        assert inside(pods, uuid, "ask GET pod/uuid") == [f"200 {uuid}"]
        assert inside(pods, uuid, "ask GET apps/$AC_APP_NAME/image/id")[0].startswith("200 ")
        assert inside(pods, uuid, "ask POST pod/hmac/sign content=x") != [signed]
        end(pods)
    assert f"DELETE /pods/{uuid} - 200" in said(pods)
    assert f"DELETE /pods/{gone} - 404" in said(pods)


@pytest.mark.behaviour("A20", "A25", "F2")
@in_own_run
def test_without_the_service_nothing_is_run(pods: PodHost) -> None:
    done = pods.podctl("run", "--mds-register", pods.image, "--exec=/bin/true")
    assert (done.status, done.err.splitlines()[0].startswith(f"run: {REFUSED}")) == (254, True)
    assert pods.uuids() == []
    uuid = pods.ok("prepare", "--quiet", pods.image, "--exec=/bin/true")
    for flags in ((), ("--detach",)):
        done = pods.podctl("run-prepared", *flags, "--mds-register", uuid)
        assert (done.status, done.err.splitlines()[0].startswith(f"run-prepared: {REFUSED}")) == (254, True)
        assert pods.state(uuid) == "prepared"
    SOCKET.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(SOCKET))  # of a service that was killed
    assert pods.podctl("run-prepared", "--mds-register", uuid).status == 254
    assert pods.state(uuid) == "prepared"
    with service(pods):
        assert pods.podctl("run-prepared", "--mds-register", uuid).status == 0
        end(pods)


@pytest.mark.behaviour("D18", "F2")
@in_own_run
def test_a_pod_is_removed_without_the_service_with_a_warning(pods: PodHost) -> None:
    with service(pods):
        uuid = registered(pods)
    pods.podctl("stop", "--force", uuid)
    pods.wait(uuid)
    done = pods.podctl("stage1-gc", uuid)
    assert done.status == 0
    assert f"stage1: warning: cannot remove the registration of the pod: {REFUSED}" in done.err
    assert (pods.data / "pods/run" / uuid / "mds-registered").exists()
    end(pods)
    assert pods.uuids() == []


@pytest.mark.behaviour("F1")
@in_own_run
def test_sockets_are_passed_to_it(pods: PodHost) -> None:
    SOCKET.parent.mkdir(exist_ok=True)
    with socket.socket() as queries, socket.socket(socket.AF_UNIX) as registrations:
        queries.bind(("0.0.0.0", 0))
        queries.listen()
        registrations.bind(str(SOCKET))
        registrations.listen()
        fds = queries.fileno(), registrations.fileno()
        script = f'export LISTEN_FDS=2 LISTEN_PID=$$; exec "$@" 3<&{fds[0]} 4<&{fds[1]}'
        argv = ["bash", "-c", script, "bash", PODCTL, *pods.where, "metadata-service"]
        process = subprocess.Popen(argv, pass_fds=fds, stderr=subprocess.DEVNULL)
        uuid = registered(pods)
        assert str(recorded(pods, uuid)["url"]).startswith(f"http://172.16.28.1:{queries.getsockname()[1]}/")
        assert inside(pods, uuid, "ask GET pod/uuid") == [f"200 {uuid}"]
        end(pods)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert SOCKET.exists(), "it belongs to the service manager"


@pytest.mark.behaviour("F2")
@in_own_run
def test_a_network_whose_gateway_is_elsewhere_leads_to_no_service(pods: PodHost) -> None:
    net = {
        "name": "apart",
        "type": "bridge",
        "bridge": "apart0",
        "ipam": {"type": "host-local", "subnet": "10.99.0.0/24"},
    }
    (pods.base / "etc/net.d").mkdir()
    (pods.base / "etc/net.d/10-apart.conf").write_text(json.dumps(net))
    with service(pods):
        done = pods.podctl("run", "--net=apart", "--mds-register", pods.image, "--exec=/bin/true")
        assert done.status == 254
        assert "no network of the pod leads to an address of the host" in done.err
        done = pods.podctl("run", "--net=apart,default", "--mds-register", pods.image, "--exec=/bin/true")
        assert done.status == 0, done.err
        end(pods)


@pytest.mark.behaviour("F5")
@in_own_run
def test_a_pod_with_ipv6_alone_asks_by_it(pods: PodHost) -> None:
    net = {"name": "six", "type": "ptp", "ipam": {"type": "host-local", "subnet": "fd00:99::/64"}}
    (pods.base / "etc/net.d").mkdir()
    (pods.base / "etc/net.d/10-six.conf").write_text(json.dumps(net))
    with service(pods):
        uuid = registered(pods, "six")
        found = recorded(pods, uuid)
        assert found["url"] == f"http://[fd00:99::1]:{PORT}/{found['token']}"
        asker = Asker(int((pods.data / "pods/run" / uuid / "pid").read_text()), str(found["url"]))
        with concurrent.futures.ProcessPoolExecutor(1) as worker:  # which joins the network of the pod
            assert worker.submit(ask_all, [asker], 2).result() == []
        end(pods)
    assert "GET /TOKEN/acMetadata/v1/pod/uuid - 200" in said(pods)


@pytest.mark.behaviour("C8", "D29")
@in_own_run
def test_a_pod_of_fly_asks_as_well(pods: PodHost) -> None:
    with service(pods):
        script = f"{ASK}\nask GET pod/uuid\n{WAITS}"
        fly = "--stage1-name=coreos.com/rkt/stage1-fly"
        uuid = pods.ok("prepare", "--quiet", fly, pods.image, "--exec=/bin/sh", "--", "-c", script)
        pods.ok("run-prepared", "--detach", "--mds-register", uuid)
        eventually(lambda: "up" in pods.ok("logs", uuid))
        assert pods.ok("logs", uuid).splitlines()[0] == f"200 {uuid}"
        assert inside(pods, uuid, "ask GET apps/$AC_APP_NAME/image/id")[0].startswith(
            "404 "
        )  # D30: it has no name
        assert inside(pods, uuid, "echo $AC_METADATA_URL") == [recorded(pods, uuid)["url"]]
        end(pods)
    assert f"DELETE /pods/{uuid} - 200" in said(pods)


@pytest.mark.behaviour("D25")
@in_own_run
def test_a_stage1_image_gets_the_token(pods: PodHost) -> None:
    entries = {"run": RUN, "enter": ENTER, "stop": STOP, "gc": "#!/bin/sh\n"}
    stage1 = write_stage1(pods.base, "tokens", entries)
    with service(pods):
        uuid = pods.ok("prepare", "--quiet", f"--stage1-path={stage1}", pods.image, "--exec=/bin/sh")
        pods.ok("run-prepared", "--detach", "--net=host", "--mds-register", uuid)
        words = (pods.data / "pods/run" / uuid / "args").read_text().split()
        token = recorded(pods, uuid)["token"]
        assert f"--mds-token={token}" in words
        url = f"http://127.0.0.1:{PORT}/{token}"
        with socket.create_connection(("127.0.0.1", PORT)) as made:
            made.sendall(Asker(0, url).request)
            assert made.recv(100).startswith(b"HTTP/1.1 200 ")
        end(pods)
    assert f"DELETE /pods/{uuid} - 200" in said(pods)


def resident(process: subprocess.Popen[str]) -> int:
    """The memory of a service in KiB."""
    lines = pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


class Asker(NamedTuple):
    """A pod that asks: its first process, and its URL."""

    pid: int
    url: str

    @property
    def address(self) -> tuple[str, int]:
        host, _colon, port = self.url.removeprefix("http://").partition("/")[0].rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def request(self) -> bytes:
        token = self.url.rpartition("/")[2]
        return (
            f"GET /{token}/acMetadata/v1/pod/uuid HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
        )

    def connected(self) -> socket.socket:
        """A connection out of the network of the pod."""
        with open(f"/proc/{self.pid}/ns/net", "rb") as netns:
            setns(netns.fileno(), CLONE_NEWNET)
        return socket.create_connection(self.address, 60)


def ask_all(askers: list[Asker], rounds: int) -> list[str]:
    """Have all ask so often at the same time, among clients that are slow and requests that are malformed.

    Returns what went wrong.
    """
    wrong = []
    with contextlib.ExitStack() as slow:
        for each in askers * 4:
            slow.enter_context(each.connected()).sendall(each.request[:30])
        for number in range(rounds):
            bad = number % 50 == 49
            with contextlib.ExitStack() as asking:
                made = [asking.enter_context(each.connected()) for each in askers]
                for each, connection in zip(askers, made):
                    connection.sendall(b"BAD\0 / HTTP/9\r\n\r\n" if bad else each.request)
                for connection in made:
                    got = b"".join(iter(lambda made=connection: made.recv(65536), b""))  # type: ignore[misc]
                    if not got.startswith(b"HTTP/1.1 400 " if bad else b"HTTP/1.1 200 "):
                        wrong.append(got[:80].decode(errors="replace"))
    return wrong


@pytest.mark.timeout(900)  # a minute of work for a machine that does nothing else
@pytest.mark.behaviour("F1", "F4")
@in_own_run
def test_sixty_thousand_requests_from_fifty_pods_are_all_answered(pods: PodHost) -> None:
    with service(pods) as process:
        uuids = [registered(pods, script="sleep 3600") for _number in range(50)]
        askers = [
            Asker(int((pods.data / "pods/run" / uuid / "pid").read_text()), str(recorded(pods, uuid)["url"]))
            for uuid in uuids
        ]
        before, sizes = resident(process), []
        with concurrent.futures.ProcessPoolExecutor(2) as workers:
            work = [workers.submit(ask_all, part, 1200) for part in (askers[::2], askers[1::2])]
            while not all(each.done() for each in work):
                sizes.append(resident(process))
                time.sleep(0.1)
            assert [wrong for each in work for wrong in each.result()][:5] == []
        assert sum(line.endswith("acMetadata/v1/pod/uuid - 200") for line in said(pods)) == 58_800
        assert sum(line == "- - 400" for line in said(pods)) == 1_200
        half = len(sizes) // 2
        assert max(sizes[half:]) <= max(sizes[:half]) + 2048, "memory does not grow with requests"
        assert max(sizes) - before < 16 << 10
        end(pods)
