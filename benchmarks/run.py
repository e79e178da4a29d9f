# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The promises of the design, measured beside its peers in one run: make bench, or run.py [--quick] [BENCH...].

Needs root. Only ratios count; the numbers themselves are those of this machine at this time.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
import time

import benches
import isolation
import rivals
import tasks
from benches import Bench
from images import APP, BUSYBOX, write_aci, write_root
from measure import said, table, touch_memory
from rivals import Ours, Podman

MANY, MANY_QUICK = 200, 30


def main() -> int:
    """The exit status: 1 when a bound is exceeded, 2 when nothing can be measured."""
    options = _options()
    isolation.leave_interpreter_alone()
    work = isolation.work_dir()
    if work is None:
        if os.geteuid() != 0 or not os.path.exists(BUSYBOX):
            print(f"bench: needs root and {BUSYBOX}, of busybox-static", file=sys.stderr)
            return 2
        tasks.missing_collection()  # while there is still a network
        tasks.missing_isal()
        return isolation.run_inside(sys.argv)
    isolation.enter(work)
    bench = _prepared(work, options)
    rows, failed = [], []
    for name in options.benches or benches.ALL:
        begin, load = time.monotonic(), os.getloadavg()[0]
        touch_memory()
        try:
            rows += benches.ALL[name](bench)
        except (RuntimeError, OSError, subprocess.SubprocessError) as err:
            failed.append(f"FAILED {name}: {err}")
        print(f"{name}: {time.monotonic() - begin:.0f} s; load before it {load:.1f}", file=sys.stderr)
    print(
        f"\nMedians (least-most), ours and peers in turn, on {os.cpu_count()} CPUs; CPU time is the mean."
        "\nA question mark: with samples so far apart another run may say the opposite.\n"
    )
    print("\n".join([table(rows), *failed]))
    return int(bool(failed) or any(row.verdict == "OVER" for row in rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures ours beside its peers.")
    parser.add_argument("benches", nargs="*", metavar="BENCH", help=", ".join(benches.ALL))
    parser.add_argument("--quick", action="store_true", help="fewer rounds, fewer pods")
    parser.add_argument("--pods", type=int, metavar="N", help="the pod that nth measures")
    found = parser.parse_args()
    if unknown := set(found.benches) - set(benches.ALL):
        parser.error(f"no such bench: {', '.join(sorted(unknown))}; there are {', '.join(benches.ALL)}")
    return found


def _prepared(work: pathlib.Path, options: argparse.Namespace) -> Bench:
    """Install the runtime as a module does, and give both the same image."""
    data, program = work / "data", work / "podctl"
    runtime = {"data_dir": str(data), "podctl": str(program)}
    tasks.play(work, [("runtime", "stagecraft.pods.pod_runtime", runtime)])
    ours, podman = Ours(program, data), Podman(work)
    write_aci(work / "bench.aci")
    ours.image = said(ours.argv("fetch", str(work / "bench.aci")))
    no_podman = rivals.missing()
    if not no_podman:
        write_root(work / "bench.tar")
        said(podman.argv("import", "--quiet", str(work / "bench.tar"), APP))
    many = options.pods or (MANY_QUICK if options.quick else MANY)
    return Bench(work, ours, podman, options.quick, many, no_podman, tasks.missing_collection())


if __name__ == "__main__":
    sys.exit(main())
