# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Write the argument specifications of the modules, which run before the runtime is there, from its table of options.

usage: argument_specs.py [--check]      make options; with --check only report whether the file is up to date
"""

from __future__ import annotations

import pathlib
import pprint
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
FILE = CHECKOUT / "plugins" / "module_utils" / "_glue" / "options.py"
HEAD = '''# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the modules, in fragments; each has a documentation fragment of its name. PRIVATE.

Written by `make options` out of podrt/stage0/options, which modules cannot import before the runtime is on the host.
"""

from __future__ import annotations
'''


def argspec(rows: Iterable[Any]) -> dict[str, Any]:
    """The argument specification of rows of the table."""
    return {row.name: _rule(row) for row in rows}


def _rule(row: Any) -> dict[str, Any]:
    default = list(row.default) if isinstance(row.default, tuple) else row.default
    found = {
        "type": row.kind.type,
        "elements": row.kind.elements,
        "required": row.required,
        "choices": list(row.choices),
        "no_log": row.secret,
    }
    rule = {name: value for name, value in found.items() if value}
    if default is not None:
        rule["default"] = default
    return {**rule, "options": argspec(row.options)} if row.options else rule


def text_of(tables: dict[str, Iterable[Any]]) -> str:
    """The formatted text of the file."""
    code = [f"{name} = {pprint.pformat(argspec(rows), sort_dicts=False)}\n" for name, rows in tables.items()]
    formatted = subprocess.run(
        ["ruff", "format", "--stdin-filename", str(FILE), "-"],
        input="\n".join((HEAD, *code)),
        capture_output=True,
        text=True,
        check=True,
        cwd=CHECKOUT,
    )
    return formatted.stdout


def main(argv: list[str]) -> int:
    """Write the file, or compare it."""
    sys.path.insert(0, str(CHECKOUT / "plugins" / "module_utils"))
    from podrt.stage0.options.pod import FETCH, HOST, POD

    text = text_of({"HOST": HOST, "FETCH": FETCH, "POD": POD})
    if "--check" not in argv:
        FILE.write_text(text)
    elif FILE.read_text() != text:
        print(f"{FILE.relative_to(CHECKOUT)} is not what the table of options says: make options")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
