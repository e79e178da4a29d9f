# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The benches: every function here measures something and returns its rows."""

from __future__ import annotations

import pathlib
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import fetches
import forwards
import queries
import rivals
import tasks
from images import APP
from measure import Row, Sample, in_turn, said, timed
from rivals import SLEEP, ULIMITS, Ours, Podman

FURTHER = 4  # apps of a pod beside its first
NAMED = 200  # in one network
PODS = 10  # converged by a play, and sharing memory


@dataclass(frozen=True)
class Bench:
    """The state that benches share. quick: fewer rounds. no_podman, no_collection: why that peer is missing, or ""."""

    work: pathlib.Path
    ours: Ours
    podman: Podman
    quick: bool
    many: int
    no_podman: str
    no_collection: str

    def rounds(self, full: int) -> int:
        return max(3, full // 4) if self.quick else full


def task(bench: Bench) -> list[Row]:
    """A pod_run task that finds nothing to do."""
    rounds = bench.rounds(40) + 1  # the first of each is left out
    pair = [_our_pod(bench, 0), ("ping", "ansible.builtin.ping", {})]
    _make_folders(bench)
    tasks.play(bench.work, [_our_pod(bench, 0)])
    took = tasks.play(bench.work, pair * rounds).took
    if any(each.changed for each in took):
        raise RuntimeError("a pod_run task that should find nothing to do has changed something")
    cpu = [_cpu_of(bench, task, rounds) for task in pair]
    tasks.play(bench.work, [_our_absence(bench, 0)])
    ours, ping = (
        [Sample(each.ms, cpu[turn]) for each in took[turn::2]][1:]  # the same for each: they share a process
        for turn in (0, 1)
    )
    return [Row("pod_run task, nothing to do", ours, "ansible.builtin.ping", ping, 1.1)]


def _cpu_of(bench: Bench, task: tasks.Task, count: int) -> float:
    """The CPU time of a task: that of a play with several, without that of the play itself."""
    long, short = (tasks.play(bench.work, [task] * number).cpu_ms for number in (count + 1, 1))
    return (long - short) / count


def install(bench: Bench) -> list[Row]:
    """The installation before the first pod: the runtime, sent and compiled."""
    samples = []
    for number in range(bench.rounds(8)):
        options: dict[str, object] = {"data_dir": str(bench.work / f"installed{number}")}
        played = tasks.play(bench.work, [("runtime", "stagecraft.pods.pod_runtime", options)])
        samples.append(Sample(played.took[0].ms, played.cpu_ms))
    unpacked = {
        kind: sum(path.stat().st_size for path in (bench.work / "installed0" / kind).rglob("*.py"))
        for kind in ("runtime", "libraries")
    }
    return [
        Row("install the runtime on a host", samples, "-"),
        Row("archive that is sent for it", [Sample(tasks.weigh_archive(bench.work) / 1e6)], "-", unit="MB"),
        *(
            Row(f"source in it, {kind}", [Sample(size / 1e6)], "-", unit="MB")
            for kind, size in unpacked.items()
        ),
    ]


def run(bench: Bench) -> list[Row]:
    """podctl run of true."""
    rows = []
    cases = (("run --net=host of true", ("--net=host",), 0.36), ("run of true, default network", (), 0.22))
    for what, flags, bound in cases:
        peer = bench.no_podman or f"podman run --rm {' '.join(flags)}".rstrip()
        actions = [lambda flags=flags: timed(bench.ours.run_true(*flags))]
        if not bench.no_podman:
            actions.append(lambda flags=flags: timed(bench.podman.run_true(*flags)))
        ours, *theirs = in_turn(bench.rounds(20), *actions)
        rows.append(Row(what, ours, peer, theirs[0] if theirs else (), bound))
        bench.ours.collect()
    return rows


def users(bench: Bench) -> list[Row]:
    """podctl run of true with users of the pod's own, beside one with the host's."""
    flags = (("--net=host", "--private-users"), ("--net=host",))
    actions = [lambda each=each: timed(bench.ours.run_true(*each)) for each in flags]
    own, hosts = in_turn(bench.rounds(20), *actions)
    bench.ours.collect()
    return [Row("run --net=host --private-users of true", own, "podctl run --net=host", hosts, 1.2)]


def apps(bench: Bench) -> list[Row]:
    """podctl run of several apps, by what each takes beside the first."""
    actions = [lambda each=each: timed(bench.ours.run_apps(each)) for each in (1, 1 + FURTHER)]
    alone, several = in_turn(bench.rounds(20), *actions)
    bench.ours.collect()
    further = [Sample((more.value - one.value) / FURTHER) for one, more in zip(alone, several)]
    return [Row("each further app at the start of a pod", further, "-", bound=10, absolute=True)]


def added(bench: Bench) -> list[Row]:
    """podctl app start of an app that is prepared, by what it takes beside another podctl that reads the pod."""
    uuid = bench.ours.sandbox()

    def start() -> Sample:
        bench.ours.add_app(uuid)
        sample = timed(bench.ours.argv("app", "start", uuid, "--app=late"), rivals.EXPERIMENT)
        bench.ours.remove_app(uuid)
        return sample

    starts, lists = in_turn(
        bench.rounds(16), start, lambda: timed(bench.ours.argv("app", "list", uuid), rivals.EXPERIMENT)
    )
    bench.ours.remove([uuid])
    beside = [Sample(one.value - other.value) for one, other in zip(starts, lists)]
    return [Row("app added to a running pod, beside app list", beside, "-", bound=12, absolute=True)]


def replaced(bench: Bench) -> list[Row]:
    """A pod_run task that changes one app of ten, one that changes the pod, and what they take beside one that changes
    nothing: that is what Ansible takes.
    """
    rounds = bench.rounds(12) + 1  # the first of each is left out
    listed = [_pod_of_ten(bench, 0, 0)]
    for number in range(1, rounds + 1):
        one, whole = _pod_of_ten(bench, number, number - 1), _pod_of_ten(bench, number, number)
        listed += [one, whole, whole]
    took = tasks.play(bench.work, listed).took[1:]
    if [each.changed for each in took] != [True, True, False] * rounds:
        raise RuntimeError("a pod_run task has changed something else than it should")
    tasks.play(bench.work, [_our_absence(bench, 0)])
    ones, wholes, idle = ([Sample(each.ms) for each in took[turn::3]][1:] for turn in (0, 1, 2))
    beside = [[Sample(one.value - other.value) for one, other in zip(each, idle)] for each in (ones, wholes)]
    what, peer = "pod_run task that replaces one app of 10", "one that replaces the pod"
    return [
        Row(what, ones, peer, wholes, 0.3),
        Row(f"{what}, beside an idle one", beside[0], f"{peer}, too", beside[1], 0.3),
    ]


def fetch(bench: Bench) -> list[Row]:
    """Fetch and render images."""
    if not shutil.which("docker-registry"):
        missing = "docker-registry (missing: not installed here)"
        return [Row(f"{fetches.WHAT}, {way}", (), missing, (), bound) for way, bound in fetches.WAYS.items()]
    return fetches.measured(bench.work, bench.no_podman, bench.rounds)


def metadata(bench: Bench) -> list[Row]:
    """Queries of the metadata service."""
    return queries.measured(bench.ours, bench.rounds)


def ports(bench: Bench) -> list[Row]:
    """Connections to a published port among many."""
    return forwards.measured(bench.ours, bench.work, bench.rounds)


def memory(bench: Bench) -> list[Row]:
    """The memory of running pods beside that of their apps."""
    rows = []
    for count, bound, what in ((1, 6.5, "memory of a pod alone"), (PODS, 3.0, f"memory, each of {PODS}")):
        actions = [lambda count=count: _our_memory(bench, count)]
        if not bench.no_podman:
            actions.append(lambda count=count: _podman_memory(bench, count))
        ours, *theirs = in_turn(bench.rounds(4), *actions)
        peer = bench.no_podman or "podman run -d (conmon)"
        rows.append(Row(what, ours, peer, theirs[0] if theirs else (), bound, "MB", absolute=True))
    return rows


def nth(bench: Bench) -> list[Row]:
    """podctl run of true while other pods run, against no other pods, which is measured before and after."""
    rounds = bench.rounds(16)

    def runs() -> list[Sample]:
        samples = in_turn(rounds, lambda: timed(bench.ours.run_true()))[0]
        bench.ours.collect()
        return samples

    first = runs()
    uuids = [bench.ours.start() for _other in range(bench.many - 1)]
    last = runs()
    bench.ours.remove(uuids)
    return [Row(f"run of true as pod {bench.many}", last, "as the first", first + runs(), 1.1)]


def names(bench: Bench) -> list[Row]:
    """The names of a pod in the hosts files of a network of pods, by what a start waits for."""
    (runtime,) = (bench.ours.data / "runtime").iterdir()
    script = pathlib.Path(__file__).with_name("naming.py")
    place = bench.work / "naming"
    argv = [
        sys.executable,
        "-I",
        "-S",
        str(script),
        str(runtime),
        str(place),
        str(NAMED),
        str(bench.rounds(40)),
    ]
    samples = [Sample(float(line)) for line in said(argv).splitlines()]
    shutil.rmtree(place)
    return [Row(f"a name added to a network of {NAMED} pods", samples, "-", bound=5, absolute=True)]


def converge(bench: Bench) -> list[Row]:
    """Ten pods with a volume each, one task per pod: the first run, and a second one."""
    _make_folders(bench)
    missing = bench.no_podman or bench.no_collection
    samples: dict[str, list[Sample]] = {"ours first": [], "ours again": [], "first": [], "again": []}
    peer_changes = 0
    for _other in range(bench.rounds(5)):
        for turn in ("ours first", "ours again"):
            samples[turn].append(_play_each(bench, _our_pod).total)
        _play_each(bench, _our_absence)
        if missing:
            continue
        for turn in ("first", "again"):
            played = _play_each(bench, _their_pod)
            samples[turn].append(played.total)
        peer_changes += sum(each.changed for each in played.took)
        bench.podman.remove_all()
    peer = missing or f"containers.podman {tasks.collection_version()}"
    note = f", which changes {peer_changes}" if peer_changes else ""
    what = f"converge {PODS} pods"
    return [
        Row(f"{what}, first run", samples["ours first"], peer, samples["first"], 0.52),
        Row(f"{what}, nothing to do", samples["ours again"], peer + note, samples["again"], 0.52),
    ]


ALL: dict[str, Callable[[Bench], list[Row]]] = {
    "install": install,
    "task": task,
    "run": run,
    "users": users,
    "apps": apps,
    "added": added,
    "replaced": replaced,
    "fetch": fetch,
    "metadata": metadata,
    "ports": ports,
    "memory": memory,
    "nth": nth,
    "names": names,
    "converge": converge,
}


# --- one sample of each ---------------------------------------------------------------------------------------------


def _our_memory(bench: Bench, count: int) -> Sample:
    before = rivals.overhead()
    uuids = [bench.ours.start() for _other in range(count)]
    each = _added_since(before) / count
    bench.ours.remove(uuids)
    return Sample(each)


def _podman_memory(bench: Bench, count: int) -> Sample:
    before = rivals.overhead()
    for _other in range(count):
        bench.podman.start()
    each = _added_since(before) / count
    bench.podman.remove_all()
    return Sample(each)


def _added_since(before: dict[str, float]) -> float:
    time.sleep(0.5)  # the processes that start pods have ended
    return sum(pss for pid, pss in rivals.overhead().items() if pid not in before)


# --- tasks ----------------------------------------------------------------------------------------------------------


def _play_each(bench: Bench, task_of: Callable[[Bench, int], tasks.Task]) -> tasks.Played:
    return tasks.play(bench.work, [task_of(bench, number) for number in range(PODS)])


def _make_folders(bench: Bench) -> None:
    for number in range(PODS):
        (bench.work / f"volume{number}").mkdir(exist_ok=True)


def _our_pod(bench: Bench, number: int) -> tasks.Task:
    program, *args = SLEEP
    options: dict[str, object] = {
        "name": f"pod{number}",
        "apps": [
            {
                "image": APP,
                "name": "app",
                "exec": program,
                "args": args,
                "mounts": [{"volume": "data", "target": "/data"}],
            }
        ],
        "volumes": [{"name": "data", "source": str(bench.work / f"volume{number}")}],
        "data_dir": str(bench.ours.data),
        "insecure_options": ["image"],
        # No rival checks whether a container that it has started stays up.
        "update": {"min_uptime": 0},
    }
    return f"pod {number}", "stagecraft.pods.pod_run", options


def _pod_of_ten(bench: Bench, level: int, name: int) -> tasks.Task:
    """A pod of ten apps. level: a variable of the first one; name: what makes it another pod."""
    program, *args = SLEEP
    app: dict[str, object] = {"image": APP, "exec": program, "args": args}
    options: dict[str, object] = {
        "name": "pod0",
        "hostname": f"host{name}",
        "apps": [
            {**app, "name": f"app{number}", "environment": {"LEVEL": "0" if number else str(level)}}
            for number in range(PODS)
        ],
        "data_dir": str(bench.ours.data),
        "insecure_options": ["image"],
        "update": {"min_uptime": 0},
    }
    return f"level {level} of pod {name}", "stagecraft.pods.pod_run", options


def _our_absence(bench: Bench, number: int) -> tasks.Task:
    options: dict[str, object] = {
        "name": f"pod{number}",
        "state": "absent",
        "data_dir": str(bench.ours.data),
    }
    return f"no pod {number}", "stagecraft.pods.pod_run", options


def _their_pod(bench: Bench, number: int) -> tasks.Task:
    options: dict[str, object] = {
        "name": f"pod{number}",
        "image": APP,
        "command": list(SLEEP),
        "volume": [f"{bench.work / f'volume{number}'}:/data"],
        "ulimit": list(ULIMITS),
        "cgroup_parent": bench.podman.group,
        "executable": str(bench.podman.executable),
    }
    return f"container {number}", "containers.podman.podman_container", options
