# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Run one task of the runtime as a module does, without Ansible: NAME, check or run, options as JSON on stdin."""

from __future__ import annotations

import json
import pathlib
import sys

RUNTIME = pathlib.Path(__file__).resolve().parents[3] / "plugins" / "module_utils"
SITE = pathlib.Path(sys.executable).parents[1] / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
sys.path[:0] = [str(RUNTIME), str(SITE)]


def main() -> None:
    from podrt.errors import PodError
    from podrt.tasks import run

    name, mode = sys.argv[1:]
    try:
        result = run.run_task(name, json.load(sys.stdin), check=mode == "check")
    except PodError as err:
        result = run.failure(err)
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
