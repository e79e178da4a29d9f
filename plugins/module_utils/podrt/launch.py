# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program podctl: python -I -S RUNTIME/podrt/launch.py ARGUMENTS.

A script is compiled at each start, so this one is short: it finds its runtime and calls it.
"""

from __future__ import annotations

import os
import sys

RUNTIME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def libraries() -> str:
    """The directory of the libraries: of the installed runtime, else of a virtual environment, or ""."""
    if os.path.isdir(f"{RUNTIME}/lib"):
        return f"{RUNTIME}/lib"
    version = "{}.{}".format(*sys.version_info)
    checkout = os.path.dirname(os.path.dirname(RUNTIME))
    own = os.path.dirname(os.path.dirname(sys.executable))
    for venv in (own, f"{checkout}/.venv", f"{checkout}/.venv-{version}"):
        found = f"{venv}/lib/python{version}/site-packages"
        if os.path.isfile(f"{venv}/pyvenv.cfg") and os.path.isdir(found):
            return found
    return ""


if __name__ == "__main__":
    sys.path.insert(0, RUNTIME)
    sys.path.extend(filter(None, [libraries()]))
    from podrt.bundle import use

    use(RUNTIME)
    from podrt.cli.main import main

    main(sys.argv[1:])
