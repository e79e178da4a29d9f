# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Run one task of the runtime as a module does, without Ansible.

usage: task.py NAME check|run|watched PATH... < OPTIONS       NAME: pod_run or another; OPTIONS: JSON

PATH: where podrt is, and the libraries that it uses. watched: it runs, and a line on standard error tells of every
program and of every process that it starts.
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
    from podrt.errors import PodError
    from podrt.tasks import run

    try:
        result = run.run_task(name, json.load(sys.stdin), check=mode == "check")
    except PodError as err:
        result = run.failure(err)
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
