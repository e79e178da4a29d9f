# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods of plays find each other by name, from inside, in IPv4 and IPv6; and follow the name servers of the host."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import subprocess
import time
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.tests.integration.converge.conftest import Host
from ansible_collections.stagecraft.pods.tests.integration.converge.namelab import BOTH, Named, eventually
from ansible_collections.stagecraft.pods.tests.integration.playbooks.machine import CHECKOUT
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import write_image


@pytest.fixture
def named(host: Host) -> Named:
    return Named(host)


def test_two_pods_find_each_other_by_every_name(named: Named) -> None:
    web = named.pod("web", aliases=["www.example.com", "front"])
    db = named.pod("db")
    addresses = named.addresses
    assert [named.finds(db, name) for name in ("web", "www.example.com", "front", "http.web")] == [
        addresses(web)[0]
    ] * 4
    assert named.finds(db, "web", "-6") == addresses(web)[1]
    assert (named.finds(web, "db"), named.finds(web, "db", "-6")) == addresses(db)
    assert named.finds(web, "web") == addresses(web)[0]
    assert named.finds(web, f"rkt-{web['uuid']}") == addresses(web)[0]
    assert named.finds(web, "nobody") == ""
    eventually(lambda: all(named.reaches(web, "db", family) for family in ("-4", "-6")))


def test_a_name_goes_with_its_pod_and_comes_with_the_one_that_replaces_it(named: Named) -> None:
    web, db = named.pod("web"), named.pod("db")
    before = named.hosts(web)
    assert len(before) == 6
    named.host.task("pod_run", name="db", state="stopped")
    eventually(lambda: not any("db" in line.split() for line in named.hosts(web)))
    assert named.finds(web, "db") == ""
    again = named.host.task("pod_run", name="db", state="started", insecure_options=["image"])["pod"]
    assert named.finds(web, "db") == named.addresses(again)[0]
    replaced = named.pod("db", hostname="other")
    assert replaced["uuid"] not in (db["uuid"], again["uuid"])
    assert (named.finds(web, "db"), named.finds(web, "db", "-6")) == named.addresses(replaced)
    assert named.reaches(web, "db")  # although it may have the address of the one before
    assert [line for line in named.hosts(web) if "other" in line] == []
    assert named.finds(replaced, "other") == named.addresses(replaced)[0]
    named.host.task("pod_run", name="db", state="absent")
    assert not any("db" in line.split() for line in named.hosts(web))


def test_an_app_finds_itself_and_others_from_its_first_instruction(named: Named) -> None:
    named.pod("web")
    args = ["-c", "/bin/busybox ping -c 1 -W 2 db; /bin/busybox ping -c 1 -W 2 web"]
    app = {"image": named.host.image, "name": "app", "exec": "/bin/sh", "args": args}
    done = named.host.task(
        "pod_run", name="db", networks=["br"], wait=True, apps=[app], insecure_options=["image"]
    )
    assert done["rc"] == 0, done
    said = "\n".join(done["pod"]["apps"][0]["stdout_lines"])
    assert re.search(r"PING db \(10\.7\.0\.3\)", said), said
    assert re.search(r"PING web \(10\.7\.0\.2\)", said), said


@pytest.mark.parametrize("private_users", [False, True], ids=["users of the host", "own users"])
def test_the_file_is_the_images_then_the_pods_own_then_the_names(named: Named, private_users: bool) -> None:
    app = {"exec": ["/bin/sh"], "user": "0", "group": "0"}
    shipped = {"etc/hosts": (0o644, b"10.9.9.9 shipped # of the image")}
    image = str(write_image(named.host.machine.base / "hosts.aci", "example.com/hosts", app, shipped))
    entries = [{"ip": "10.0.0.1", "names": ["one", "uno"]}]
    options: dict[str, Any] = {"hosts_entries": entries, "app": {"image": image}}
    pod = named.pod("web", private_users=private_users, **options)
    lines = named.inside(pod, "cat", "/etc/hosts").stdout.splitlines()
    assert lines[:4] == ["10.9.9.9 shipped # of the image", "", "# Of the pod", "10.0.0.1 one uno"]
    assert [line.split() for line in lines[5:]] == [
        [address, name] for name in ("web", f"rkt-{pod['uuid']}") for address in named.addresses(pod)
    ]
    assert named.inside(pod, "stat", "-c", "%u %a", "/etc/hosts").stdout.split()[1] == "644"
    if private_users:
        status = (
            named.host.machine.data / "pods/run" / pod["uuid"] / "stage1/rootfs/rkt/etc/app.hosts"
        ).stat()
        assert status.st_uid > 65535
    assert named.pod("web", private_users=private_users, **options)["uuid"] == pod["uuid"]


def test_a_file_of_the_host_and_a_volume_are_left_alone(named: Named) -> None:
    other = named.pod("other")
    of_host = named.pod("web", hosts_from_host=True)
    assert named.inside(of_host, "cat", "/etc/hosts").stdout == pathlib.Path("/etc/hosts").read_text()
    file = named.host.machine.base / "mounted"
    file.write_text("10.3.3.3 mine\n")
    mounted = named.pod(
        "web",
        volumes=[{"name": "hosts", "kind": "host", "source": str(file)}],
        app={"mounts": [{"volume": "hosts", "target": "/etc/hosts"}]},
    )
    assert named.inside(mounted, "cat", "/etc/hosts").stdout == file.read_text() == "10.3.3.3 mine\n"
    assert named.finds(other, "web") == named.addresses(mounted)[0]


def test_what_an_app_does_to_its_file_is_its_own_affair_and_mended(named: Named) -> None:
    bad, good = named.pod("bad"), named.pod("good")
    for spoil in (
        "printf 'garbage without an end' > /etc/hosts",
        "printf '10.7.0.99 good' > /etc/hosts",
        "/bin/busybox truncate -s 1000G /etc/hosts",
        "/bin/busybox truncate -s 100 /etc/hosts",
        "/bin/busybox dd if=/dev/urandom of=/etc/hosts bs=1000 count=40",
        "/bin/busybox dd if=/dev/zero of=/etc/hosts bs=1000 count=400",
        ": > /etc/hosts",
    ):
        assert named.inside(bad, "sh", "-c", spoil).returncode == 0, spoil
        third = named.pod("third")
        assert named.finds(good, "third") == named.addresses(third)[0]
        assert named.finds(third, "bad") == named.addresses(bad)[0]
        named.host.task("pod_run", name="third", state="absent")
        assert named.finds(good, "third") == ""
        if (
            "1000G" in spoil or "zero" in spoil
        ):  # all names are there, or there is nothing that a task could do
            done = named.host.pod(name="bad", networks=["br"])
            said = ["an app has filled its /etc/hosts" in warning for warning in done["warnings"]]
            assert (done["changed"], said) == (False, [True] * ("zero" in spoil))
            named.inside(bad, "sh", "-c", ": > /etc/hosts")
        done = named.host.pod(name="bad", networks=["br"])
        ((path, impact),) = {(change["path"], change["impact"]) for change in done["changes"]}
        assert (path, impact) == ("networks", "live"), done
        assert done["pod"]["pid"] == bad["pid"]
        assert not named.host.pod(name="bad", networks=["br"])["changed"]
        if "good" not in spoil and "urandom" not in spoil:
            assert named.finds(bad, "good") == named.addresses(good)[0]


@pytest.mark.parametrize("what", ["start", "stop"])
def test_wherever_a_task_is_killed_no_name_of_a_dead_pod_stays(named: Named, what: str) -> None:
    web = named.pod("web")
    alone = named.hosts(web)
    app = {"image": named.host.image, "name": "app", "exec": "/bin/sleep", "args": ["1000"]}
    options = {"name": "db", "networks": ["br"], "apps": [app], "insecure_options": ["image"]}
    given = {**options, "state": {"start": "started", "stop": "stopped"}[what], "update": {"min_uptime": 0}}
    for moment in range(12):
        if what == "stop":
            named.host.task("pod_run", **options, update={"min_uptime": 0})
        process = named.host.start("pod_run", "run", given)
        time.sleep(0.05 + moment * 0.03)
        named.host.kill(process, alone=moment % 2 == 0)
        named.host.machine.uuids()
        found = named.host.task("pod_info", gather=["pods"], name="db")["pods"]
        runs = [pod for pod in found if pod["state"] == "running"]
        named.host.pod(name="next", networks=["br"])  # whatever joins the network next cleans up
        wanted: set[str] = set()
        for pod in runs:
            with contextlib.suppress(
                FileNotFoundError
            ):  # it was on the way when its starter was killed, and has gone
                wanted |= set(named.addresses(pod))
        eventually(
            lambda wanted=wanted: (
                {line.split()[0] for line in named.hosts(web) if line.endswith(" db")} in (wanted, set())
            )
        )
        named.host.task("pod_run", name="next", state="absent")
        named.host.task("pod_run", name="db", state="absent")
        named.host.task("pod_gc", grace_period=0, expire_prepared=0)
        assert named.hosts(web) == alone


def test_fifty_pods_find_each_other(named: Named) -> None:
    first = named.pod("pod0")
    for number in range(1, 50):
        named.pod(f"pod{number}", app={"exec": "/bin/sleep", "args": ["1000"]})
    assert len(named.hosts(first)) == 2 * 50 + 2
    last = named.host.pod(name="pod49", networks=["br"], app={"exec": "/bin/sleep", "args": ["1000"]})["pod"]
    assert [named.hosts(last)[:2], len(named.hosts(last))] == [named.hosts(first)[:2], 2 * 50 + 2]
    for number in range(0, 50, 7):
        assert named.finds(last, f"pod{number}") == f"10.7.0.{number + 2}"
    named.host.machine.clean()
    assert named.host.machine.run("sh", "-c", "ls -d /run/pods/names*", check=False).stdout == ""


def test_an_app_that_joins_a_running_pod_has_the_names_too(named: Named) -> None:
    web = named.pod("web", app={"annotations": {}})
    db = named.pod("db")
    two = {"image": named.host.image, "name": "two", "exec": "/bin/sleep", "args": ["1000"]}
    one = {"image": named.host.image, "name": "app", "exec": "/bin/sleep", "args": ["1000"]}
    base = {"networks": ["br"], "update": {"min_uptime": 0}, "insecure_options": ["image"]}
    grown = named.host.task("pod_run", name="web", apps=[one, two], **base)["pod"]
    place = named.host.machine.data / "pods/run" / grown["uuid"] / "stage1/rootfs/rkt/etc"
    assert {path.name for path in place.glob("*.hosts")} == {"app.hosts", "two.hosts"}
    named.pod("db", hostname="again")
    for file in ("app.hosts", "two.hosts"):
        lines = (place / file).read_text().split("\n")
        found = [line.split() for line in lines if "db" in line.split()]
        assert [words[0] for words in found if not words[0].startswith("#")] == [
            *named.addresses(named.host.pod(name="db", networks=["br"], hostname="again")["pod"])
        ]
    assert not named.host.task("pod_run", name="web", apps=[one, two], **base)["changed"]
    assert db["uuid"] != web["uuid"]


@pytest.mark.behaviour("C38", "C40")
def test_a_pod_of_podctl_is_found_and_has_the_files_that_rkt_gave_it(named: Named) -> None:
    web = named.pod("web")
    machine = named.host.machine
    where = [f"--dir={machine.data}", f"--local-config={machine.directories['config_dir']}"]
    podctl = [str(CHECKOUT / "bin" / "podctl"), *where, "--insecure-options=image"]
    words = ["run", "--net=br", "--pod-name=cli", named.host.image, "--exec=/bin/sleep", "--", "99"]
    with subprocess.Popen(machine.inside(*podctl, *words), stdin=subprocess.DEVNULL) as process:

        def pods() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = named.host.task("pod_info", gather=["pods"], name="cli")["pods"]
            return [pod for pod in found if pod["pid"]]

        eventually(pods)
        (found,) = pods()
        assert named.finds(web, "cli") == named.addresses(found)[0]
        text = named.inside(found, "cat", "/etc/hosts").stdout
        assert f"localhost4.localdomain4 rkt-{found['uuid']}\n" in text
        assert "web" not in text
        assert "#" not in text.split("\n", 1)[1]
        assert named.inside(found, "cat", "/etc/resolv.conf").returncode == 1
        machine.run(*podctl, "stop", "--force", found["uuid"])
        process.wait(timeout=30)
    eventually(lambda: named.finds(web, "cli") == "")


def test_pods_of_two_data_directories_find_each_other(named: Named) -> None:
    web = named.pod("web")
    there = {"data_dir": str(named.host.machine.base / "elsewhere")}
    other = named.pod("web", aliases=["other"], **there)
    try:
        assert named.finds(web, "other") == "10.7.0.3"
        lines = [line for line in named.hosts(web) if line.split()[1] == "web"]
        assert len(lines) == 4  # two pods, in two families
    finally:
        named.host.task("pod_run", name="web", state="absent", **there)
    assert other["uuid"] != web["uuid"]
    assert named.finds(web, "other") == ""


def test_a_program_of_a_network_gets_the_names_where_it_asks_for_them(named: Named) -> None:
    """Such as one that serves them by DNS."""
    place = pathlib.Path(named.host.machine.directories["config_dir"]) / "net.d"
    given = named.host.machine.base / "given"
    (place / "served").write_text(
        f'#!/bin/sh\nconf=$(cat); [ "$CNI_COMMAND" != ADD ] || printf %s "$conf" > {given}\n'
        """echo "$conf" | sed 's/.*"prevResult"://; s/,"runtimeConfig":.*//'\n"""
    )
    (place / "served").chmod(0o755)
    main = {key: value for key, value in BOTH.items() if key != "name"}
    plugins = [main, {"type": "served", "capabilities": {"aliases": True}}]
    conf = {"cniVersion": "0.4.0", "name": "chain", "plugins": plugins}
    (place / "30-chain.conflist").write_text(json.dumps(conf))
    named.pod("web", networks=["chain"], aliases=["www"])
    assert json.loads(given.read_text())["runtimeConfig"] == {"aliases": ["web", "www"]}
