# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The interpreter ignores files that an image has at the paths of its library."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

PODRT = pathlib.Path(__file__).resolve().parents[7] / "plugins" / "module_utils"
PLANTED = "import posix\nposix.write(1, b'PLANTED\\n')\n"
# The stdlib and a source of ours in the image's version; the codec of the source's encoding is the image's as well.
FILES = {
    "encodings/planted.py": PLANTED,
    "traceback.py": PLANTED,
    "warnings.py": PLANTED,
    "linecache.py": PLANTED,
    "fresh.py": PLANTED,
    "source.py": "# -*- coding: planted -*-\n" + "x\n" * 50,
}
PROGRAM = """
import encodings, sys
root, runtime, quiet, what = sys.argv[1:]
if quiet == "yes":
    sys.path.insert(0, runtime)
    from podrt.stage1.inside.interpreter import read_no_code
code = {
    "an exception": "raise ValueError('wrong')",
    "an exception whose text raises": "class E(Exception):\\n def __str__(self): raise self\\nraise E",
    "an exception that ends in __del__": "class D:\\n def __del__(self): raise ValueError('wrong')\\nD()",
    "a warning": "import _warnings\\n_warnings.warn('careful', UserWarning)",
    "an import": "try: import fresh\\nexcept ImportError: pass",
    "a codec": "try: 'x'.encode('planted')\\nexcept LookupError: pass",
}[what]
compiled = compile(code, root + "/source.py", "exec")
for name in ("traceback", "warnings", "linecache"):
    sys.modules.pop(name, None)
sys.path[:], encodings.__path__[:] = [root], [root + "/encodings"]
sys.path_importer_cache.clear()
if quiet == "yes":
    read_no_code()
exec(compiled)
"""
WHAT = [
    "an exception",
    "an exception whose text raises",
    "an exception that ends in __del__",
    "a warning",
    "an import",
    "a codec",
]


def run(root: pathlib.Path, what: str, *, quiet: bool) -> subprocess.CompletedProcess[str]:
    for name, content in FILES.items():
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    argv = [sys.executable, "-I", "-S", "-c", PROGRAM, str(root), str(PODRT), "yes" if quiet else "no", what]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.finding("pods-F1")
@pytest.mark.parametrize("what", WHAT)
def test_no_code_of_an_image_is_read(tmp_path: pathlib.Path, what: str) -> None:
    done = run(tmp_path, what, quiet=True)
    assert "PLANTED" not in done.stdout
    assert "source.py" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1


@pytest.mark.finding("pods-F1")
@pytest.mark.parametrize("what", [what for what in WHAT if "text raises" not in what])
def test_left_alone_the_interpreter_reads_it(tmp_path: pathlib.Path, what: str) -> None:
    """The test above relies on it: these files would be found."""
    assert "PLANTED" in run(tmp_path, what, quiet=False).stdout


def test_an_exception_is_one_line_without_control_characters(tmp_path: pathlib.Path) -> None:
    assert run(tmp_path, "an exception", quiet=True).stderr == "Error: ValueError: wrong\n"
