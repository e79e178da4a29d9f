# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A host for one test on this machine: its own PID, mount and network namespaces, and a data directory.

Plays run inside, so that only the test has these links, nftables, mounts, processes and /run, a snapshot of them is
exact, and all of it is gone when the first process of the namespaces ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import write_leases_place

CHECKOUT = pathlib.Path(__file__).resolve().parents[3]
TASK = pathlib.Path(__file__).parents[1] / "task.py"
UPLINK = "192.0.2.1"
SECONDS = 120

# The first process of the namespaces reaps, as an init does.
INIT = f"""
import os, signal, subprocess
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
for line in '''link set lo up
link add up0 type veth peer name up1
addr add {UPLINK}/24 dev up0
link set up0 up
route add default via 192.0.2.254'''.splitlines():
    subprocess.run(["ip", *line.split()], check=True)
subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", "/run"], check=True)
print("ready", flush=True)
while True:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    signal.sigtimedwait([signal.SIGCHLD], 1)
"""

# The processes beside the first one and this script; kernel threads have no command line.
LIST_PROCESSES = """
import json, os
found = {}
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            line = file.read().replace(b"\\0", b" ").decode(errors="replace").strip()
    except OSError:
        continue
    if line and int(pid) not in (1, os.getpid()):
        found[pid] = line
print(json.dumps(found))
"""

Task = dict[str, Any]


class Play:
    """The outcome of a play: its exit status, its output, and the results of its tasks in order."""

    def __init__(self, done: subprocess.CompletedProcess[str], results: list[dict[str, Any]]) -> None:
        self.status, self.results = done.returncode, results
        self.text = done.stdout + done.stderr


class Machine:
    """The namespaces, and the directories of pods in them."""

    def __init__(self, base: pathlib.Path, init: int) -> None:
        self.base, self.init = base, init
        self.data = base / "data"
        self.directories = {"data_dir": str(self.data), "config_dir": str(base / "etc")}

    def inside(self, *argv: str) -> list[str]:
        """The command line that runs a command inside."""
        kinds = {"mount": "mnt", "net": "net", "pid": "pid", "ipc": "ipc"}
        spaces = [f"--{kind}=/proc/{self.init}/ns/{name}" for kind, name in kinds.items()]
        return ["nsenter", *spaces, "--", *argv]

    def run(self, *argv: str, check: bool = True, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        options = {"timeout": SECONDS, **({} if "input" in more else {"stdin": subprocess.DEVNULL}), **more}
        return subprocess.run(self.inside(*argv), check=check, capture_output=True, text=True, **options)

    def playbook(self, playbook: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Play a playbook on the machine itself."""
        argv, options = self.playbook_command(playbook, *arguments)
        return subprocess.run(
            argv,
            check=False,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
            **options,
        )

    def playbook_command(self, playbook: pathlib.Path, *arguments: str) -> tuple[list[str], dict[str, Any]]:
        """The command line that does it, and where and in which environment."""
        env = {
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_HOME": str(CHECKOUT / ".cache" / "ansible"),
            "ANSIBLE_LOCAL_TEMP": str(self.base / "ansible"),
            "ANSIBLE_REMOTE_TEMP": str(self.base / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "LC_ALL": "C.UTF-8",
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
        }
        program = pathlib.Path(sys.executable).with_name("ansible-playbook")
        interpreter = f"ansible_python_interpreter={sys.executable}"
        argv = [str(program), "-i", "localhost,", "-c", "local", "-e", interpreter, str(playbook), *arguments]
        return self.inside(*argv), {"env": env, "cwd": CHECKOUT}

    def play(self, *tasks: Task, check: bool = False, arguments: Sequence[str] = ()) -> Play:
        """Play tasks of the collection, {module: options}. A task that fails does not end the play."""
        names = [f"task{number}" for number in range(len(tasks))]
        output = self.base / "results.json"
        steps: list[Task] = [
            {"name": name, "register": name, "ignore_errors": True, **_qualified(task)}
            for name, task in zip(names, tasks)
        ]
        content = "{{ [" + ", ".join(names) + "] | to_json }}"
        copy = {"content": content, "dest": str(output), "mode": "0600"}
        steps.append({"name": "keep", "ansible.builtin.copy": copy, "check_mode": False, "diff": False})
        defaults = {"group/stagecraft.pods.pods": self.directories}
        document = [
            {"hosts": "localhost", "gather_facts": False, "module_defaults": defaults, "tasks": steps}
        ]
        playbook = self.base / "play.yml"
        playbook.write_text(json.dumps(document))  # JSON is YAML
        output.unlink(missing_ok=True)
        done = self.playbook(playbook, *(["--check"] if check else []), *arguments)
        assert output.exists(), done.stdout + done.stderr
        return Play(done, json.loads(output.read_text()))

    def task(self, module: str, check: bool = False, **options: Any) -> dict[str, Any]:
        """The result of one task, which does not fail."""
        result = self.play({module: options}, check=check).results[0]
        assert not result.get("failed"), result
        assert bool(result.get("changes")) == result["changed"], result
        return result

    def failing(self, module: str, **options: Any) -> dict[str, Any]:
        """The result of one task, which fails with a sentence."""
        result = self.play({module: options}).results[0]
        assert result.get("failed"), result
        assert "Traceback" not in json.dumps(result)
        return result

    def processes(self) -> dict[int, str]:
        """The processes inside, except the first one and this script: {pid: command line}."""
        text = self.run(sys.executable, "-I", "-S", "-c", LIST_PROCESSES).stdout
        return {int(pid): line for pid, line in json.loads(text).items()}

    def snapshot(self) -> Mapping[str, object]:
        """Everything that a pod could leave behind, without images, rendered trees and the runtime, which stay."""
        ip, nft = ("ip", "-o"), ("nft", "list", "ruleset")
        inside = ("pods", "names", "net")
        return {
            "links": sorted(self.run(*ip, "link").stdout.splitlines()),
            # the kernel spends a second on duplicate address detection
            "addresses": sorted(self.run(*ip, "addr").stdout.replace(" tentative", "").splitlines()),
            "routes": self.run("ip", "route").stdout,
            "nftables": self.run(*nft).stdout,
            "mounts": sorted(
                line.split(" ", 4)[4] for line in self.run("cat", "/proc/1/mountinfo").stdout.splitlines()
            ),
            # An app that waits in a loop forks children all the time; groups and files show the pods.
            "processes": sorted({*self.processes().values()} - {"sleep 0.1"}),
            "network namespaces": self.run("sh", "-c", "ls /run/netns 2>/dev/null || true").stdout,
            "files": sorted(
                str(path)
                for name in inside
                for path in (self.data / name).rglob("*")
                if path.name != "lock"
                and (len(path.relative_to(self.data).parts) > 2 or (name != "pods" and not path.is_dir()))
            ),
            "cgroups": cgroups_of(self.uuids()),
        }

    def straight(self, module: str, **options: Any) -> dict[str, Any]:
        """Run a task without Ansible, in a tenth of the time; returns its result, which is not a failure."""
        words = task_words(module, "run")
        done = self.run(sys.executable, "-B", *words, input=json.dumps({**self.directories, **options}))
        result: dict[str, Any] = json.loads(done.stdout)
        assert not result.get("failed"), result
        assert bool(result.get("changes")) == result["changed"], result
        return result

    def clean(self) -> None:
        """Remove every pod, so that no group of theirs is left on this machine."""
        for path in (self.data / "names").glob("*"):
            self.straight("pod_run", name=path.name, state="absent")
        self.straight("pod_gc", grace_period=0, expire_prepared=0)
        assert self.straight("pod_info", gather=["pods"])["pods"] == []
        assert cgroups_of(self.uuids()) == []

    def uuids(self) -> list[str]:
        """The UUIDs of all pods so far, including removed ones."""
        kept = self.base / "uuids"
        known = set(kept.read_text().split()) if kept.exists() else set()
        known |= {path.name for path in (self.data / "pods").glob("*/*")}
        kept.write_text("\n".join(sorted(known)))
        return sorted(known)


def task_words(name: str, mode: str) -> list[str]:
    """The arguments of Python that run a task without Ansible, with the runtime of the checkout."""
    runtime = CHECKOUT / "plugins" / "module_utils"
    return [str(TASK), name, mode, str(runtime), sysconfig.get_paths()["purelib"]]


def _qualified(task: Task) -> Task:
    return {
        ("stagecraft.pods." + key if key.startswith("pod_") else key): value for key, value in task.items()
    }


def cgroups_of(uuids: Sequence[str]) -> list[str]:
    """The groups on this machine that belong to these pods."""
    names = [name for uuid in uuids for name in (uuid, uuid.replace("-", "\\x2d"))]
    found = (
        f"{directory}/{subdir}"
        for directory, subdirs, _files in os.walk("/sys/fs/cgroup")
        for subdir in subdirs
    )
    return sorted(path for path in found if any(name in os.path.basename(path) for name in names))


@contextlib.contextmanager
def new_machine(base: pathlib.Path) -> Iterator[Machine]:
    """A machine that ends with the block."""
    spaces = (
        "--mount",
        "--net",
        "--ipc",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--propagation",
        "private",
    )
    argv = ["unshare", *spaces, sys.executable, "-I", "-S", "-c", INIT]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            write_leases_place(base / "etc", base / "leases")
            yield Machine(base, int(children[0]))
        finally:
            process.kill()
