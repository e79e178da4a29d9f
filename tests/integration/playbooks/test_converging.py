# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The output of a play: check mode, diff, changes, secrets, a pod that does not come up."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.tests.integration.playbooks.machine import Machine

CANARY, OTHER = "canary-7f3a9c", "canary-e41b60"


def pod(aci: str, **options: Any) -> dict[str, Any]:
    """The options of a pod of one app; app_... are the app's."""
    app = {"image": aci, "name": "sleeper"}
    for name in [name for name in options if name.startswith("app_")]:
        app[name.removeprefix("app_")] = options.pop(name)
    quick = {"update": {"min_uptime": 0}, "insecure_options": ["image"]}
    return {"name": "web", "apps": [app], **quick, **options}


def paths(result: dict[str, Any]) -> list[str]:
    return [change["path"] for change in result["changes"]]


def test_check_mode_says_what_the_run_does_and_does_nothing(machine: Machine, aci: str) -> None:
    before = machine.snapshot()
    predicted = machine.task("pod_run", check=True, **pod(aci))
    assert predicted["changed"]
    assert machine.snapshot() == before
    done = machine.task("pod_run", **pod(aci))
    assert paths(predicted) == paths(done)
    again = machine.task("pod_run", **pod(aci))
    assert (again["changed"], again["changes"]) == (False, [])
    assert (again["pod"]["uuid"], again["pod"]["pid"]) == (done["pod"]["uuid"], done["pod"]["pid"])


def test_a_bare_machine_is_left_bare_by_check_mode(bare_machine: Machine, aci: str) -> None:
    assert bare_machine.task("pod_run", check=True, **pod(aci))["changed"]
    assert not bare_machine.data.exists()


def test_the_diff_names_the_field_with_what_it_was_and_what_it_becomes(machine: Machine, aci: str) -> None:
    first = machine.task("pod_run", **pod(aci, app_memory="64Mi", networks=["none"]))
    task = {"pod_run": pod(aci, app_memory="32Mi", networks=["none"])}
    played = machine.play(task, check=True, arguments=["--diff"])
    changes = played.results[0]["changes"]
    for change in changes:
        assert change["path"] == "apps[0].memory"
        assert (change["reason"], change["impact"]) == ("playbook", "recreate")
        assert f"-{change['path']}: {change['before']}" in played.text
        assert f"+{change['path']}: {change['after']}" in played.text
    done = machine.task("pod_run", **task["pod_run"])
    assert done["changes"] == changes
    assert done["pod"]["uuid"] != first["pod"]["uuid"]
    assert len(machine.task("pod_info", gather=["pods"])["pods"]) == 1


def test_short_forms_and_templated_numbers_come_through_ansible(machine: Machine, aci: str) -> None:
    machine.task("pod_volume", name="pages")
    secret = [f"LEVEL={CANARY}"]
    short = pod(
        aci, ports=["8093:80"], app_mounts=["pages:/pages:ro"], app_environment=secret, app_user="0:0"
    )
    done = machine.play({"pod_run": short}, arguments=["-vvv"])
    assert not done.results[0].get("failed"), done.results[0]
    assert CANARY not in done.text
    mounts = [{"volume": "pages", "target": "/pages", "read_only": "{{ 'yes' }}"}]
    again = machine.task(
        "pod_run",
        **pod(
            aci,
            ports=[{"name": "http", "host_port": "{{ '8093' }}"}],
            volumes=[{"name": "pages", "volume": "pages"}],
            app_mounts=mounts,
            app_environment={"LEVEL": CANARY},
            app_user="0",
            app_group="0",
        ),
    )
    assert (again["changed"], again["pod"]["uuid"]) == (False, done.results[0]["pod"]["uuid"])


def test_variables_come_from_files_of_the_controller_or_of_the_host(
    machine: Machine, aci: str, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "app.env").write_text(f"# of the app\nLEVEL={CANARY}\n")
    files = {"env_file": [str(tmp_path / "app.env")]}
    first = machine.play({"pod_run": pod(aci, **files)}, arguments=["-vvv"])
    assert not first.results[0].get("failed"), first.results[0]
    assert CANARY not in first.text
    again = machine.task("pod_run", **pod(aci, env_file_from="host", **files))
    assert again["changed"] is False
    (tmp_path / "app.env").write_text(f"LEVEL={OTHER}\n")
    changed = machine.task("pod_run", check=True, **pod(aci, **files))
    assert paths(changed) == ["env_file.LEVEL"]
    for source, other in (("controller", "host"), ("host", "controller")):
        missing = pod(aci, env_file=[files["env_file"][0], "/nowhere/app.env"], env_file_from=source)
        failed = machine.failing("pod_run", **missing)
        assert "env_file[1]: cannot read /nowhere/app.env: " in failed["msg"], failed
        assert f"with env_file_from: {other} it is a file of the {other}" in failed["msg"], failed
        (tmp_path / "app.env").write_bytes(b"LEVEL=\xff\n")
        failed = machine.failing("pod_run", **pod(aci, env_file_from=source, **files))
        assert "is not UTF-8" in failed["msg"], failed
        (tmp_path / "app.env").write_text(f"LEVEL={OTHER}\n")
    # A pod to remove may have lost its files before.
    assert machine.task("pod_run", **{**missing, "env_file_from": "controller", "state": "absent"})["changed"]


def test_a_file_of_variables_may_be_encrypted_by_vault(
    machine: Machine, aci: str, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "password").write_text("sesame")
    (tmp_path / "app.env").write_text(f"LEVEL={CANARY}\n")
    vault = ["--vault-password-file", str(tmp_path / "password")]
    program = pathlib.Path(sys.executable).parent / "ansible-vault"
    subprocess.run([program, "encrypt", *vault, str(tmp_path / "app.env")], check=True, capture_output=True)
    done = machine.play(
        {"pod_run": pod(aci, env_file=[str(tmp_path / "app.env")])}, arguments=["-vvv", *vault]
    )
    assert not done.results[0].get("failed"), done.results[0]
    assert CANARY not in done.text
    plain = machine.task("pod_run", **pod(aci, environment={"LEVEL": CANARY}))
    assert plain["changed"] is False


# Characters that repr escapes, so that a search for the secret in a text does not find it.
SPELLINGS = {
    "LINES": f"-----BEGIN\n{CANARY}\n-----END\n",
    "BACKSLASH": f"\\{CANARY}\\n",
    "QUOTES": f"'{CANARY}\"",
    "INVISIBLE": f"\u200b{CANARY}\u200b",
}
# Python's syslog(3), with which modules log, writing to a file.
LOGGED = """
import os, syslog
def write(_level, message):
    with open(os.environ["TEST_LOG"], "a") as file:
        file.write(message + "\\n")
syslog.syslog = write
"""


def test_secrets_are_nowhere_but_in_the_pod(machine: Machine, aci: str) -> None:
    shared = {"environment": {"TOKEN": CANARY, **SPELLINGS}, "networks": ["none"]}
    options = pod(aci, app_environment={"PASSWORD": CANARY, **SPELLINGS}, **shared)
    changed = pod(aci, app_environment={"PASSWORD": OTHER, **SPELLINGS}, **shared)
    (machine.base / "site").mkdir()
    (machine.base / "site" / "sitecustomize.py").write_text(LOGGED)
    log = machine.base / "syslog"
    around = {"environment": {"PYTHONPATH": str(machine.base / "site"), "TEST_LOG": str(log)}}
    tasks = ({"pod_run": options, **around}, {"pod_run": changed, **around})
    played = machine.play(*tasks, arguments=["--diff", "-vvvv"])
    assert played.status == 0
    assert aci in log.read_text()
    assert_no_secret(log.read_text())
    assert "environment.PASSWORD" in played.text
    assert "fingerprint:" in played.text
    assert_no_secret(played.text)
    assert_no_secret(str(played.results))
    assert_no_secret(str(machine.processes()))
    assert [path for path in readable_by_all(machine.data) if holds_a_secret(path)] == []
    pid = played.results[1]["pod"]["pid"]
    [app] = machine.run("pgrep", "-P", str(pid)).stdout.split()
    assert f"PASSWORD={OTHER}" in machine.run("cat", f"/proc/{app}/environ").stdout


def assert_no_secret(text: str) -> None:
    assert CANARY not in text
    assert OTHER not in text


def readable_by_all(root: pathlib.Path) -> list[pathlib.Path]:
    """The files below a directory that users other than root can reach."""
    found = []
    for directory, subdirs, names in os.walk(root):
        subdirs[:] = [name for name in subdirs if os.lstat(f"{directory}/{name}").st_mode & 0o001]
        files = (pathlib.Path(directory, name) for name in names)
        found += [path for path in files if path.lstat().st_mode & 0o004 and path.is_file()]
    return found


def holds_a_secret(path: pathlib.Path) -> bool:
    data = path.read_bytes()
    return CANARY.encode() in data or OTHER.encode() in data


def test_a_pod_that_does_not_come_up_leaves_the_old_one_running(machine: Machine, aci: str) -> None:
    good = pod(aci, ports=[{"name": "http", "host_port": 8080}])
    before = machine.task("pod_run", **good)
    failed = machine.failing("pod_run", **pod(aci, ports=good["ports"], app_exec="/bin/there-is-none"))
    assert "rolled_back" not in failed  # it was found before the old pod was touched
    assert "there-is-none" in failed["msg"]
    after = machine.task("pod_run", **good)
    assert (after["changed"], after["pod"]["state"]) == (False, "running")
    assert (after["pod"]["uuid"], after["pod"]["pid"]) == (before["pod"]["uuid"], before["pod"]["pid"])
    assert len(machine.task("pod_info", gather=["pods"])["pods"]) == 1


def test_a_pod_that_went_away_is_drift(machine: Machine, aci: str) -> None:
    options = pod(aci, networks=["none"])
    first = machine.task("pod_run", **options)
    machine.run("kill", "-KILL", str(first["pod"]["pid"]))
    second = machine.task("pod_run", **options)
    assert [(change["path"], change["reason"]) for change in second["changes"]] == [
        ("pods.web.state", "drift")
    ]
    assert second["pod"]["state"] == "running"


def test_what_leaves_the_playbook_leaves_the_pod(machine: Machine, aci: str) -> None:
    machine.task("pod_run", **pod(aci, networks=["none"], app_environment={"A": "1", "B": "2"}))
    changed = machine.task("pod_run", **pod(aci, networks=["none"], app_environment={"A": "1"}))
    assert [(path.rsplit(".", 1)[-1]) for path in paths(changed)] == ["B"]


def test_absent_leaves_nothing(machine: Machine, aci: str) -> None:
    before = machine.snapshot()
    machine.task("pod_run", **pod(aci, ports=[{"name": "http", "host_port": 8080}], app_memory="64Mi"))
    assert machine.snapshot() != before
    gone = machine.task("pod_run", name="web", state="absent")
    assert (gone["changed"], gone["pod"]) == (True, None)
    assert machine.snapshot() == before
    assert machine.task("pod_run", name="web", state="absent")["changed"] is False


MISTAKES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"app_memory": "many"}, "apps[0].memory"),
    ({"app_environment": {"A": 1}}, "apps[0].environment.A"),
    ({"app_image": "example.com/absent"}, "example.com/absent"),
    (
        {"volumes": [{"name": "d", "source": "/is/not"}], "mounts": [{"volume": "d", "target": "/d"}]},
        "/is/not",
    ),
    ({"volumes": [{"name": "d", "volume": "gone"}], "mounts": [{"volume": "d", "target": "/d"}]}, "gone"),
    ({"networks": ["nowhere"]}, "nowhere"),
    ({"ports": [{"name": "https", "host_port": 8080}]}, "https"),
    ({"dns": ["not-an-address"]}, "dns[0]"),
    ({"name": "Not A Name"}, "name"),
    ({"name": "a" * 256}, "name"),
    ({"app_args": ["-p", 8]}, "apps[0].args[1]"),
    ({"app_caps_retain": ["CAP_FLY"]}, "apps[0].caps_retain[0]"),
    ({"labels": {"release": 1.1}}, "labels.release"),
    ({"hostname": "two words"}, "hostname"),
    ({"wait_timeout": -1}, "wait_timeout"),
)


def test_a_mistake_is_named_and_leaves_nothing(machine: Machine, aci: str) -> None:
    before = machine.snapshot()
    played = machine.play(*({"pod_run": pod(aci, **wrong)} for wrong, _word in MISTAKES))
    for (_wrong, word), result in zip(MISTAKES, played.results):
        assert result["failed"], result
        assert word in result["msg"] + str(result["facts"]), result
    assert "Traceback" not in played.text
    assert machine.snapshot() == before


def test_the_demonstration_and_its_end(bare_machine: Machine) -> None:
    """In the machine's network and with its /run; the other directories are the real ones, as in `make demo`."""
    if any(map(os.path.exists, ("/var/lib/pods", "/etc/pods", "/usr/local/bin/podctl"))):
        pytest.skip("this machine is a host of pods")
    playbook = pathlib.Path(__file__).parents[3] / "playbooks" / "demo.yml"
    try:
        done = bare_machine.playbook(playbook)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Hello from a pod: demo wrote this" in done.stdout
        assert "Converged again and nothing has changed" in done.stdout
        again = bare_machine.playbook(playbook)
        assert "changed=0" in again.stdout
    finally:
        away = bare_machine.playbook(playbook, "-e", "demo_state=absent")
    assert away.returncode == 0, away.stdout + away.stderr
    left = (
        "/var/lib/pods",
        "/var/lib/pods-demo",
        "/etc/pods",
        "/run/pods",
        "/usr/local/bin/podctl",
    )
    assert bare_machine.run("sh", "-c", 'ls -d "$@" 2>/dev/null', "sh", *left, check=False).stdout == ""
    assert bare_machine.snapshot()["nftables"] == ""
