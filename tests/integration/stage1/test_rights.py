# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The remaining rights of the first process of a pod, as listed in the contract of stage1."""

from __future__ import annotations

import ctypes
import fcntl
import os
import pathlib
import shutil
import stat

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.capabilities import mask_of
from ansible_collections.stagecraft.pods.tests.integration.stage1.inject import call_in
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import (
    NO_NET,
    RUNTIME,
    LabPod,
    StageLab,
)

# Source: asm/unistd_64.h, linux/prctl.h, linux/keyctl.h.
_PRCTL, _PR_GET_SECUREBITS = 157, 27
_KEYCTL, _KEYCTL_GET_KEYRING_ID, _KEYCTL_READ, _SESSION_KEYRING = 250, 0, 11, -3

PAGE = pathlib.Path(__file__).resolve().parents[3] / "docs" / "devel" / "stage1-contract.md"


# The supervisor is a program of its own, or the process that has built the pod, see inside.unexecuted.
WAYS = ("detached", "in the foreground")


def run(pod: LabPod, way: str) -> None:
    """Start a pod one of two ways, and wait until its first process is at rest."""
    if way == "detached":
        pod.call(detach=True)
        pod.wait_rest()
    else:
        pod.start()
        pod.wait_ready()


def listed() -> dict[str, list[str]]:
    """The table of the page: rights and their values."""
    section = PAGE.read_text().split("## What the first process keeps")[1].split("\n## ")[0]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| ")]
    return {right.strip(): value.split() for right, value in rows}


def failing(place: pathlib.Path, file: str, left_out: str) -> pathlib.Path:
    """A runtime that leaves one line of a file out."""
    shutil.copytree(RUNTIME / "podrt", place / "podrt", ignore=shutil.ignore_patterns("__pycache__"))
    source = place / "podrt" / file
    text = source.read_text()
    assert left_out in text
    nothing = " " * (len(left_out) - len(left_out.lstrip())) + "pass\n"
    source.write_text(text.replace(left_out, nothing))
    return place


CAPABILITIES = pytest.param(
    "stage1/inside/rights.py",
    "    bound_capabilities(bounding, permitted)\n",
    "it has CAP_DAC_READ_SEARCH",
    id="capabilities",
)
FILTER = pytest.param(
    "stage1/inside/process.py",
    "        syscalls.load_seccomp(filtered)\n",
    "it has no system call filter",
    id="filter",
)
NO_NEW_PRIVILEGES = pytest.param(
    "stage1/inside/rights.py",
    "        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)\n",
    "it may gain privileges by set-user-ID programs",
    id="no-new-privileges",
)
USERS = pytest.param(
    "stage1/inside/process.py",
    "        syscalls.setns(users, CLONE_NEWUSER)\n",
    "its users are those of the host by 0 0 4294967295, not 0 ",
    id="users",
)
SCORE = pytest.param(
    "stage1/inside/process.py",
    "        os.write(fd, str(score).encode())\n",
    "its OOM score adjustment is 0, not 500",
    id="oom-score-adj",
)


def isolators_for(said: str) -> list[dict[str, object]]:
    if "set-user-ID" in said:
        return [{"name": "os/linux/no-new-privileges", "value": True}]
    return [{"name": "os/linux/oom-score-adj", "value": 500}] if "OOM" in said else []


@pytest.mark.parametrize(
    ("file", "left_out", "said"), [CAPABILITIES, FILTER, NO_NEW_PRIVILEGES, USERS, SCORE]
)
def test_a_restriction_that_is_not_applied_ends_the_start(
    stage: StageLab, tmp_path: pathlib.Path, file: str, left_out: str, said: str
) -> None:
    runtime = failing(tmp_path / "failing", file, left_out)
    runspec = NO_NET.replace(
        private_users="users" in said, insecure=("seccomp",) if "set-user-ID" in said else ()
    )
    pod = stage.sh("echo ran; sleep 60", runspec, isolators=isolators_for(said))
    done = pod.call(detach=True, runtime=runtime)
    assert done.status == 254
    assert f'the kernel has not applied what app "main" is restricted to: {said}' in done.err
    assert pod.state() == "exited"


@pytest.mark.parametrize(
    ("file", "left_out", "said"), [CAPABILITIES, FILTER, NO_NEW_PRIVILEGES, USERS, SCORE]
)
def test_a_restriction_that_is_not_applied_ends_an_app_that_joins_a_pod_alone(
    stage: StageLab, tmp_path: pathlib.Path, file: str, left_out: str, said: str
) -> None:
    runspec = NO_NET.replace(
        private_users="users" in said, insecure=("seccomp",) if "set-user-ID" in said else ()
    )
    pod = stage.sh("sleep 60", runspec)
    pod.call(detach=True)
    first = pod.pid()
    app = {"exec": ["/bin/sh", "-c", "sleep 60"], "isolators": isolators_for(said)}
    stage.add_app(pod, "late", app)
    done = pod.call("start_app", name="late", runtime=failing(tmp_path / "failing", file, left_out))
    assert done.status == 254
    assert f'the kernel has not applied what app "late" is restricted to: {said}' in done.err
    assert pod.pid() == first
    assert (pod.state(), os.path.lexists(pod.dir.app_status("late"))) == ("running", False)
    done = pod.call("start_app", name="late")
    assert (done.status, done.err) == (0, "")


@pytest.mark.parametrize("way", WAYS)
def test_privileges_and_namespaces_are_those_of_the_page(stage: StageLab, way: str) -> None:
    pod = stage.sh("sleep 60", NO_NET)
    run(pod, way)
    process, rights = pathlib.Path(f"/proc/{pod.pid()}"), listed()
    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines())
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert int(status[name], 16) == mask_of(tuple(rights["capabilities"])) & int(
            dict(line.split(":\t", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())[
                "CapBnd"
            ],
            16,
        )
    assert int(status["CapAmb"], 16) == int(status["CapInh"], 16) == 0
    assert [status["NoNewPrivs"]] == rights["no-new-privileges"]
    assert [status["Seccomp"]] == rights["filter"]
    assert {*status["Uid"].split(), *status["Gid"].split()} == {rights["user"][0]}
    assert rights["session"] == ["its", "own"]
    assert os.getsid(pod.pid()) == os.getpgid(pod.pid()) == pod.pid()
    names = [name for name in os.listdir(process / "ns") if not name.endswith("_for_children")]
    shared = [
        name for name in names if os.readlink(process / "ns" / name) == os.readlink(f"/proc/self/ns/{name}")
    ]
    assert sorted(shared) == rights["namespaces shared with the host"]


@pytest.mark.finding("attack-F11")
@pytest.mark.parametrize("way", WAYS)
def test_secure_bits_and_the_session_keyring_are_those_of_the_page(stage: StageLab, way: str) -> None:
    pod = stage.sh("sleep 60", NO_NET)
    run(pod, way)
    rights = listed()
    assert call_in(pod.pid(), _PRCTL, _PR_GET_SECUREBITS) == int(rights["secure bits"][0])
    keyring = call_in(pod.pid(), _KEYCTL, _KEYCTL_GET_KEYRING_ID, _SESSION_KEYRING)
    assert keyring > 0
    own = ctypes.CDLL(None).syscall(_KEYCTL, _KEYCTL_GET_KEYRING_ID, _SESSION_KEYRING, 0)
    assert rights["session keyring"] == ["its", "own,", "empty"]
    assert keyring != own
    # The bytes of the numbers of its keys.
    assert call_in(pod.pid(), _KEYCTL, _KEYCTL_READ, keyring, 0, 0) == 0


@pytest.mark.finding("attack-F3")
@pytest.mark.parametrize("way", WAYS)
def test_files_that_are_open_are_those_of_the_page(stage: StageLab, way: str) -> None:
    pod = stage.sh("sleep 60", NO_NET)
    run(pod, way)
    place, rights = pathlib.Path(f"/proc/{pod.pid()}/fd"), listed()
    files, directories, others = [], [], set()
    for number in os.listdir(place):
        mode = (place / number).stat().st_mode
        target = os.readlink(place / number)
        if target.startswith("/memfd:"):
            others.add(target.split()[0])
            assert fcntl.fcntl(os.open(place / number, os.O_RDONLY), fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
        elif stat.S_ISREG(mode) and not target.startswith("/sys"):
            files.append(str((place / number).stat().st_ino))
        elif stat.S_ISDIR(mode):
            directories.append(number)
        elif stat.S_ISCHR(mode) and (place / number).stat().st_rdev == os.makedev(1, 3):
            others.add("null")
            # By its descriptor an app that is root could change the host's device.
            with pytest.raises(OSError, match="Read-only"):
                os.chmod(place / number, 0o666)
        else:
            others.add(os.path.basename(target).split(":[")[0] if "anon" not in target else target)
    at = {"logs": pod.dir.logs, "status": pod.dir.statuses}
    wanted = [
        os.stat(f"{at[name.split('/')[0]]}/{name.split('/')[1]}").st_ino for name in rights["writable files"]
    ]
    assert sorted(files) == sorted(map(str, wanted))
    assert len(directories) == 1
    with pytest.raises(OSError, match="Read-only"):
        os.close(os.open(place / directories[0] / "new", os.O_WRONLY | os.O_CREAT))
    assert others <= set(rights["others"])


@pytest.mark.parametrize("way", WAYS)
def test_mounts_that_can_be_written_are_those_of_the_page(stage: StageLab, way: str) -> None:
    pod = stage.sh("sleep 60", NO_NET)
    run(pod, way)
    lines = pathlib.Path(f"/proc/{pod.pid()}/mountinfo").read_text().splitlines()
    writable = [line.split()[4] for line in lines if "rw" in line.split()[5].split(",")]
    assert listed()["writable mounts"] == ["APP"]
    top = pod.dir.app_root("main")
    assert writable
    assert all(place == top or place.startswith(f"{top}/") for place in writable), writable
