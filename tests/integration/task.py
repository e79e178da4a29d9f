# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Run one task of the runtime as a module does, without Ansible.

usage: task.py NAME check|run PATH... < OPTIONS       NAME: pod_run or another; OPTIONS: JSON

PATH: where podrt is, and the libraries that it uses.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    name, mode = sys.argv[1:3]
    sys.path[:0] = sys.argv[3:]
    from podrt.errors import PodError
    from podrt.tasks import run

    try:
        result = run.run_task(name, json.load(sys.stdin), check=mode == "check")
    except PodError as err:
        result = run.failure(err)
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
