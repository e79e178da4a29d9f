# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Prepared pods without stage0: a busybox root, documents written by hand, and stage1's entries as processes."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import PodManifest, RuntimeApp
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.dirs import PodDir
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import documents, lifecycle, subids
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import NetworkRequest, RunSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.seccomp import files as filter_files
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.seccomp.filters import compile_filter

RUNTIME = pathlib.Path(__file__).resolve().parents[3] / "plugins" / "module_utils"
PYTHON = os.path.realpath(sys.executable)
TREE = "deps-sha512-lab"
SECONDS = 30
PREFIX = re.compile(r"^\[[ 0-9.]+\] ([a-z0-9-]+)\[([0-9]+)\]: (.*)$")
HOST_NET = RunSpec(networks=(NetworkRequest("host"),))
NO_NET = RunSpec(networks=(NetworkRequest("none"),))

# Every entry as podctl calls it, in a separate process: paths, UUID and words are JSON in argv[1].
ENTRY = """
import json, os, sys
sys.path.insert(0, {runtime!r})
from podrt.errors import PodError
from podrt.host.host import Host
from podrt.host.paths import Paths
from podrt.pod.lifecycle import open_pod
data, uuid, entry, words = json.loads(sys.argv[1])
def as_value(given):
    return tuple(map(as_value, given)) if isinstance(given, list) else given
paths = Paths(data=data, local_config=data + "/etc", system_config=data + "/usr", run=data + "/run")
host = Host.here(paths.replace(leases=data + "/leases"))
pod = open_pod(host.paths, uuid)
try:
    if entry == "run":
        from podrt.stage1.starter.run import run
        pod.detach()
        if not pod.lock():
            raise SystemExit("the pod is locked")
        status = run(host, uuid, pod.fd, **words)
    elif entry == "enter":
        from podrt.stage1.request import EnterRequest
        from podrt.stage1.starter.enter import enter
        words = {{name: as_value(given) for name, given in words.items()}}
        status = enter(host, pod, EnterRequest(**{{"term": "xterm", **words}}))
    elif entry == "stop":
        from podrt.stage1.starter.stop import stop
        status = stop(pod, force=words["force"]) or 0
    elif entry == "start_app":
        from podrt.stage1.entries import apps_of
        status = apps_of(host, pod).start_app(**words) or 0
    elif entry == "stop_app":
        from podrt.stage1.starter.addition import stop_app
        status = stop_app(pod, **words) or 0
    elif entry == "remove_app":
        from podrt.stage1.starter.addition import remove_app
        status = remove_app(pod, **words) or 0
    else:
        from podrt.stage1.starter.teardown import teardown
        status = teardown(host, pod) or 0
except PodError as err:
    sys.stderr.write(f"{{err.kind}}: {{err.message}}\\n")
    status = err.exit_code
if sys.stdout:
    sys.stdout.flush()
os._exit(status)
"""


class Done:
    """The result of an entry. said: the apps' lines as (app, text)."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err
        found = (PREFIX.match(line) for line in out.splitlines())
        self.said = [(match[1], match[3]) for match in found if match]
        self.lines = [text for _other, text in self.said]
        self.text = "\n".join(self.lines)


class LabPod:
    """A prepared pod in state run."""

    def __init__(self, lab: StageLab, uuid: str) -> None:
        self.lab = lab
        self.uuid = uuid

    @property
    def dir(self) -> PodDir:
        return self.lab.paths.pod("run", self.uuid)

    def start(
        self,
        entry: str = "run",
        terminal: int | None = None,
        prefix: Sequence[str] = (),
        stdin: int = subprocess.DEVNULL,
        runtime: pathlib.Path = RUNTIME,
        **words: object,
    ) -> subprocess.Popen[str]:
        """Start an entry in the background, on a terminal or with captured output. prefix: a command that runs it."""
        given = json.dumps([self.lab.paths.data, self.uuid, entry, words])
        process = subprocess.Popen(
            [*prefix, PYTHON, "-I", "-S", "-c", ENTRY.format(runtime=str(runtime)), given],
            stdin=stdin if terminal is None else terminal,
            stdout=subprocess.PIPE if terminal is None else terminal,
            stderr=subprocess.PIPE if terminal is None else terminal,
            text=True,
        )
        self.lab.started.append(process)
        return process

    def call(
        self, entry: str = "run", prefix: Sequence[str] = (), runtime: pathlib.Path = RUNTIME, **words: object
    ) -> Done:
        """Run an entry to its end."""
        return finish(self.start(entry, prefix=prefix, runtime=runtime, **words))

    def state(self) -> str:
        with lifecycle.open_pod(self.lab.paths, self.uuid) as pod:
            return pod.state().value

    def pid(self) -> int:
        """The PID of PID 1, once there is one."""
        return eventually(lambda: documents.read_pid(self.dir))

    def statuses(self) -> dict[str, int | None]:
        manifest = documents.read_manifest(self.dir)
        return {str(app.name): documents.read_status(self.dir, app.name) for app in manifest.apps}

    def wait_ready(self) -> None:
        eventually(lambda: os.path.islink(self.dir.supervisor_status))

    def wait_rest(self) -> None:
        """Wait until its first process has given back the memory that only its start needed, see pid1.idle."""
        pid = self.pid()
        bare = _bare(os.readlink(f"/proc/{pid}/exe"))
        eventually(lambda: _code_in_memory(pid) < bare * 0.8)

    def wait_ended(self) -> None:
        eventually(lambda: self.state() == "exited")

    def log(self, app: str = "main") -> str:
        return pathlib.Path(self.dir.app_log(app)).read_text()


class StageLab:
    """A data directory with one rendered tree, and the pods made on it."""

    def __init__(self, base: pathlib.Path, *, private_users: bool = False) -> None:
        data = str(base / "data")
        self._private_users = private_users
        self.paths = Paths(
            data=data,
            local_config=f"{data}/etc",
            system_config=f"{data}/usr",
            run=f"{data}/run",
            leases=f"{data}/leases",
        )
        self.host = Host.here(self.paths)
        self.tree = pathlib.Path(self.paths.tree(TREE).path) / "rootfs"
        self.started: list[subprocess.Popen[str]] = []
        self.pods: list[LabPod] = []
        self._render()

    def pod(  # a pod has this much to say
        self,
        apps: Mapping[str, Mapping[str, object]],
        runspec: RunSpec = HOST_NET,
        volumes: Sequence[Mapping[str, object]] = (),
        prefill: Sequence[str] = (),
        docker: bool = False,
        **more: object,
    ) -> LabPod:
        """Prepare a pod. An app is appc's, with mounts and readOnlyRootFS of the runtime app."""
        manifest = PodManifest.from_json(
            {
                "acKind": "PodManifest",
                "acVersion": "0.8.11",
                "apps": [_runtime_app(name, app) for name, app in apps.items()],
                "volumes": list(volumes),
                **more,
            }
        )
        if self._private_users:
            runspec = runspec.replace(private_users=True)
        with lifecycle.create(self.paths) as pod:
            documents.write_manifest(pod.dir, manifest)
            documents.write_runspec(pod.dir, runspec)
            if runspec.private_users:
                pathlib.Path(pod.dir.private_users).write_text(f"{subids.allocate(self.paths, pod.uuid)}\n")
            for app in manifest.apps:
                self._write_app(pod.dir, app.name, prefill, docker)
                self._write_filter(pod.dir, app, runspec)
            if runspec.overlay:
                pathlib.Path(pod.dir.overlay_prepared).touch()
            pod.move("run")
            made = LabPod(self, pod.uuid)
        self.pods.append(made)
        return made

    def _write_filter(self, pod: PodDir, app: RuntimeApp, runspec: RunSpec) -> None:
        insecure = "seccomp" in app.waived(runspec.insecure)
        filtered = compile_filter(self.paths, app.app, insecure=insecure, arch=self.host.arch)
        if filtered:
            filter_files.write(pod.app_filter(app.name), filtered)

    def add_app(self, pod: LabPod, name: str, app: Mapping[str, object]) -> None:
        """Prepare an app in the directory of a pod that runs, as stage0 does."""
        manifest = documents.read_manifest(pod.dir).to_json()
        manifest["apps"].append(_runtime_app(name, app))  # type: ignore[attr-defined, index, call-overload]
        found = PodManifest.from_json(manifest)
        self._write_app(pod.dir, name, (), docker=False)
        self._write_filter(pod.dir, found.apps[-1], documents.read_runspec(pod.dir))
        os.makedirs(pod.dir.app_root(name), exist_ok=True)
        documents.write_manifest(pod.dir, found)

    def sh(self, script: str, runspec: RunSpec = HOST_NET, **app: object) -> LabPod:
        """A pod of one app, main, that runs a script."""
        more = {
            key: app.pop(key) for key in ("volumes", "prefill", "docker", "isolators_of_pod") if key in app
        }
        if "isolators_of_pod" in more:
            more["isolators"] = more.pop("isolators_of_pod")
        return self.pod({"main": {"exec": ["/bin/sh", "-c", script], **app}}, runspec, **more)  # type: ignore[arg-type]

    def run(self, script: str, runspec: RunSpec = HOST_NET, **app: object) -> Done:
        """Prepare such a pod and run it to its end."""
        return self.sh(script, runspec, **app).call()

    def link_libraries(self) -> None:
        """Put the host's libraries at the paths that its programs expect, with /usr as a volume: see python."""
        for name in ("lib", "lib64"):
            (self.tree / name).symlink_to(f"usr/{name}")

    def close(self) -> None:
        """Kill all that a test has left."""
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        for pod in self.pods:
            if pod.state() == "running":
                pod.call("stop", force=True)
                pod.wait_ended()
            pod.call("gc")
        for process in self.started:  # what entered a pod has their pipes open as long as the pod is
            process.communicate(timeout=SECONDS)

    def _render(self) -> None:
        (self.tree / "bin").mkdir(parents=True)
        shutil.copy("/bin/busybox", self.tree / "bin" / "busybox")
        listed = subprocess.run(
            ["/bin/busybox", "--list"], capture_output=True, text=True, check=True, timeout=SECONDS
        )
        for applet in listed.stdout.split():
            with contextlib.suppress(FileExistsError):
                (self.tree / "bin" / applet).symlink_to("busybox")
        (self.tree / "etc").mkdir()
        (self.tree / "etc" / "passwd").write_text(
            "root:x:0:0:root:/root:/bin/sh\nworker:x:100:200::/:/bin/sh\n"
        )
        (self.tree / "etc" / "group").write_text("root:x:0:\nworkers:x:200:\n")
        (self.tree / "data").mkdir(mode=0o750)
        (self.tree / "data" / "shipped").write_text("from the image\n")
        os.chown(self.tree / "data", 11, 12)

    def _write_app(self, pod: PodDir, app: str, prefill: Sequence[str], docker: bool) -> None:
        os.makedirs(pod.app_info(app))
        annotations = [{"name": "appc.io/docker/repository", "value": "lab"}] if docker else []
        image = {
            "acKind": "ImageManifest",
            "acVersion": "0.8.11",
            "name": "lab/image",
            "annotations": annotations,
        }
        for path, text in (
            (pod.app_manifest(app), json.dumps(image)),
            (pod.app_tree_id(app), TREE),
            (pod.app_lower(app), str(self.tree)),
            (f"{pod.app_info(app)}/prefill", "\n".join(prefill)),
        ):
            pathlib.Path(path).write_text(text)
        if not os.path.exists(pod.overlay_prepared) and not documents.read_runspec(pod).overlay:
            shutil.copytree(self.tree, pod.app_root(app), symlinks=True)


def finish(process: subprocess.Popen[str]) -> Done:
    out, err = process.communicate(timeout=SECONDS)
    return Done(process.returncode, out, err)


def eventually(asked, seconds: float = SECONDS):  # type: ignore[no-untyped-def]
    """The result of a question, once it is true."""
    end = time.monotonic() + seconds
    while True:
        answer = asked()
        if answer:
            return answer
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def until(condition: str) -> str:
    """A shell command that waits for a condition."""
    return f"until {condition}; do sleep 0.05; done"


def python(script: str) -> dict[str, object]:
    """The exec and the other fields of an app that runs a script with the host's Python."""
    places = {"usr": "/usr", "prefix": os.path.dirname(os.path.dirname(PYTHON))}
    return {
        "exec": [PYTHON, "-I", "-S", "-c", script],
        "mounts": [{"volume": name, "path": source} for name, source in places.items()],
        "volumes": [
            {"name": name, "kind": "host", "source": source, "readOnly": True}
            for name, source in places.items()
        ],
    }


def _bare(executable: str) -> int:
    """What an interpreter that has done nothing yet has read of the files that it executes, in kilobytes."""
    script = "import sys; print(flush=True); sys.stdin.read()"
    argv = [executable, "-I", "-S", "-c", script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return _code_in_memory(process.pid)


def _code_in_memory(pid: int) -> int:
    code, executed = 0, False
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, *words = line.split()
        if not name.endswith(":"):
            executed = words[0].startswith("r-x") and words[-1].startswith("/")
        elif executed and name == "Rss:":
            code += int(words[0])
    return code


def children_of(pid: int) -> list[int]:
    return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def groups_of(uuid: str) -> list[str]:
    """The control groups of this machine with a pod's name."""
    name = "machine-rkt\\x2d" + uuid.replace("-", "\\x2d") + ".scope"
    found = []
    for top in pathlib.Path("/sys/fs/cgroup").iterdir():
        found += [str(path) for path in _below(top) if path.name == name]
    return found


def _below(path: pathlib.Path, depth: int = 4) -> Iterator[pathlib.Path]:
    if depth:
        with contextlib.suppress(OSError):
            for child in path.iterdir():
                if child.is_dir() and not child.is_symlink():
                    yield child
                    yield from _below(child, depth - 1)


def _runtime_app(name: str, app: Mapping[str, object]) -> dict[str, object]:
    given = dict(app)
    of_runtime = {
        key: given.pop(key)
        for key in ("mounts", "readOnlyRootFS", "annotations", "tmpfs", "privileged")
        if key in given
    }
    return {
        "name": name,
        "image": {"id": "sha512-" + "0" * 64, "name": "lab/image"},
        "app": {"user": "root", "group": "root", **given},
        **of_runtime,
    }


__all__ = [
    "HOST_NET",
    "NO_NET",
    "Done",
    "LabPod",
    "StageLab",
    "children_of",
    "eventually",
    "finish",
    "groups_of",
    "python",
    "until",
]
