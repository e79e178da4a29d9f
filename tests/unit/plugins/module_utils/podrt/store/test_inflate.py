# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""gzip by what the host has: the module isal, the program igzip, or zlib."""

from __future__ import annotations

import gzip
import os
import pathlib
import sys
import textwrap

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import programs
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import inflate, stream

PLAIN = os.urandom(300_000) + b"abc" * 200_000
HAS_PROGRAM = os.path.exists("/usr/bin/igzip")


@pytest.fixture(autouse=True)
def _forgetting():
    """What was found out counts for one test."""
    inflate.module.cache_clear()
    inflate.program.cache_clear()
    yield
    inflate.module.cache_clear()
    inflate.program.cache_clear()


@pytest.fixture(name="site")
def _site(tmp_path, monkeypatch):
    """Directories of the host's Python that this interpreter does not look in."""
    import site

    monkeypatch.setattr(site, "getsitepackages", lambda: [str(tmp_path)])
    monkeypatch.setattr(sys, "path", [path for path in sys.path if "packages" not in path])
    before = set(sys.modules)
    (tmp_path / "isal").mkdir()
    (tmp_path / "isal" / "__init__.py").write_text("")
    yield tmp_path / "isal" / "isal_zlib.py"
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "isal":
            del sys.modules[name]


@pytest.fixture(name="path")
def _path(tmp_path, monkeypatch):
    """The only directory with programs."""
    monkeypatch.setattr(programs, "PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def write_igzip(path: pathlib.Path, body: str) -> None:
    program = path / "igzip"
    program.write_text(f"#!{sys.executable}\n{textwrap.dedent(body)}")
    program.chmod(0o755)


def inflated(data: bytes, by: int = inflate.PROGRAM) -> bytes:
    pieces = (data[at : at + 70_000] for at in range(0, len(data), 70_000))
    return b"".join(stream.decompressed(pieces, by))


def test_isal_of_the_hosts_python_is_found_without_its_directories(site):
    site.write_text("import zlib\ndecompressobj = zlib.decompressobj\nmark = 1\n")
    assert getattr(inflate.module(), "mark", 0) == 1
    assert inflate.program() == "", "the module is faster"
    assert inflated(gzip.compress(PLAIN)) == PLAIN


@pytest.mark.parametrize("broken", ["raise RuntimeError", "import no_such_module", "]"])
def test_an_isal_that_does_not_load_is_not_used(site, path, broken):
    site.write_text(broken)
    assert inflate.module() is None
    assert "isal" not in sys.modules
    assert inflated(gzip.compress(PLAIN)) == PLAIN


@pytest.mark.parametrize(
    "body",
    [
        "raise SystemExit(1)",
        "print('y', end='')",
        "import os, signal\nos.kill(os.getpid(), signal.SIGILL)",
    ],
    ids=["fails", "wrong", "killed"],
)
def test_a_program_that_does_not_work_here_is_not_used(path, body):
    if inflate.module():
        pytest.skip("the module is preferred")
    inflate.program.cache_clear()
    write_igzip(path, body)
    assert inflate.program() == ""
    assert inflated(gzip.compress(PLAIN)) == PLAIN


def test_without_either_zlib_does_it(path):
    assert inflate.program() == ""
    assert inflated(gzip.compress(PLAIN)) == PLAIN


def test_the_program_is_only_for_what_is_compared_afterwards(path, monkeypatch):
    monkeypatch.setattr(inflate, "module", lambda: None)
    write_igzip(path, "import gzip, sys\nsys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))\n")
    assert inflate.program() == str(path / "igzip")
    write_igzip(path, "raise SystemExit(1)")
    assert inflated(gzip.compress(PLAIN), inflate.MODULE) == PLAIN
    with pytest.raises(Corrupt, match=r"^the gzip data is damaged: "):
        inflated(gzip.compress(PLAIN))


@pytest.mark.skipif(not HAS_PROGRAM, reason="needs igzip")
class TestProgram:
    @pytest.fixture(autouse=True)
    def _alone(self, monkeypatch):
        monkeypatch.setattr(inflate, "module", lambda: None)
        assert inflate.program() == "/usr/bin/igzip"

    @pytest.mark.parametrize(
        "data",
        [
            gzip.compress(PLAIN),
            gzip.compress(PLAIN[:5]) + gzip.compress(PLAIN[5:]),
            gzip.compress(PLAIN) + bytes(900),
        ],
        ids=["one", "two members", "padded"],
    )
    def test_it_gives_what_zlib_gives(self, data):
        assert inflated(data) == inflated(data, inflate.MODULE) == PLAIN

    @pytest.mark.parametrize("cut", [4, 8, 100, 200_000])
    def test_what_is_truncated_is_refused(self, cut):
        with pytest.raises(Corrupt, match=r"^the gzip data is damaged: .*complete gzip file"):
            inflated(gzip.compress(PLAIN)[:-cut])

    @pytest.mark.parametrize("place", [-1, -6, 1000])
    def test_what_is_damaged_is_refused(self, place):
        data = bytearray(gzip.compress(PLAIN))
        data[place] ^= 1
        with pytest.raises(Corrupt, match=r"^the gzip data is damaged: "):
            inflated(bytes(data))

    @pytest.mark.usefixtures("no_descriptor_left")
    def test_a_reader_that_stops_early_leaves_nothing(self):
        plain = stream.decompressed(iter([gzip.compress(bytes(50 << 20))]), inflate.PROGRAM)
        next(plain)
        plain.close()
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
