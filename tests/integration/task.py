# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Run tasks of the runtime as a module does, without Ansible.

usage: task.py NAME check|run|watched PATH... < OPTIONS       NAME: pod_run or another; OPTIONS: JSON
       task.py - - PATH...        a line [NAME, check or run, OPTIONS] for each, and a line for its result

PATH: of podrt, and of the libraries that it uses. watched: it runs, and a line on standard error reports every program
and every process that it starts.
"""

from __future__ import annotations

import json
import sys

# Source: the table of audit events in Python's documentation.
STARTS = ("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "subprocess.Popen")


def tell_of_processes(event: str, arguments: tuple[object, ...]) -> None:
    if event in STARTS:
        print("started:", event, *arguments, file=sys.stderr)


def main() -> None:
    name, mode = sys.argv[1:3]
    sys.path[:0] = sys.argv[3:]
    if mode == "watched":
        sys.addaudithook(tell_of_processes)
    if name != "-":
        json.dump(result_of(name, mode, json.load(sys.stdin)), sys.stdout)
        return
    for line in sys.stdin:
        print(json.dumps(result_of(*json.loads(line))), flush=True)


def result_of(name: str, mode: str, options: dict[str, object]) -> dict[str, object]:
    from podrt.errors import PodError
    from podrt.tasks import run

    try:
        return run.run_task(name, options, check=mode == "check")
    except PodError as err:
        return run.failure(err)


if __name__ == "__main__":
    main()
