# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The archive that the controller packs: the runtime, and the libraries in the installed versions."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
import tarfile

import pytest

from ansible_collections.stagecraft.pods.plugins.plugin_utils import runtime


def test_the_archive_holds_the_runtime_and_every_library(tmp_path: pathlib.Path) -> None:
    runtime.write_archive(str(tmp_path / "runtime.tar.gz"))
    with tarfile.open(tmp_path / "runtime.tar.gz") as archive:
        names = archive.getnames()
        pythons = archive.extractfile("pythons")
        lines = pythons.read().decode().splitlines() if pythons else []
    assert {"podrt/launch.py", "lib/requests/__init__.py", "lib/pyseccomp.py", "lib/gnupg.py"} <= set(names)
    assert [name for name in names if "pyroute2" in name] == []
    assert {line.split()[0].lower() for line in lines} == {wanted.name for wanted in runtime.requirements()}
    assert all(tuple(map(int, line.split()[2].split("."))) >= (3, 9) for line in lines)


# What of the libraries that travel is large, and the part of the runtime that needs it. It comes to every host with the
# first task, so one more has to be worth it there: pyroute2 alone would be more than all of them.
LARGE = {"certifi": "image/transport.py", "idna": "image/transport.py", "urllib3": "image/transport.py"}
LARGE_BYTES = 200_000
IMPORT = """
import importlib, sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
importlib.import_module("podrt.image.transport")
import requests, urllib3  # as its functions do
importlib.import_module("podrt.image.signature")
import gnupg  # as its functions do
for module in list(sys.modules.values()):
    print(getattr(module, "__file__", None))
"""


def test_no_large_library_travels_that_the_runtime_does_not_import(tmp_path: pathlib.Path) -> None:
    sizes = {
        library.metadata["Name"].lower(): sum(
            pathlib.Path(path).stat().st_size for _name, path in runtime._library_files(library)
        )
        for library in runtime.libraries()
    }
    assert {name for name, size in sizes.items() if size > LARGE_BYTES} == LARGE.keys()
    assert sum(sizes.values()) < 1_600_000
    assert all((pathlib.Path(runtime.PODRT) / home).is_file() for home in LARGE.values())


def test_every_library_that_travels_is_imported(tmp_path: pathlib.Path) -> None:
    runtime.write_archive(str(tmp_path / "runtime.tar.gz"))
    with tarfile.open(tmp_path / "runtime.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    words = [sys.executable, "-I", "-S", "-B", "-c", IMPORT, str(tmp_path), str(tmp_path / "lib")]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    lib = tmp_path / "lib"
    found = {
        path.relative_to(lib).parts[0].removesuffix(".py")
        for path in map(pathlib.Path, done.stdout.splitlines())
        if lib in path.parents
    }
    # pod/filters.py imports the one that is missing, if there is a libseccomp.
    assert {path.name.removesuffix(".py") for path in lib.iterdir()} == found | {"pyseccomp"}


def test_the_archive_is_compressed(tmp_path: pathlib.Path) -> None:
    """What is sent to a host over a slow line is a third of what is unpacked there."""
    runtime.write_archive(str(tmp_path / "runtime.tar.gz"))
    with tarfile.open(tmp_path / "runtime.tar.gz") as archive:
        unpacked = sum(entry.size for entry in archive)
    assert unpacked > 2_000_000
    assert (tmp_path / "runtime.tar.gz").stat().st_size < 0.4 * unpacked


def test_equal_content_makes_equal_archives(tmp_path: pathlib.Path) -> None:
    for name in ("one", "two"):
        runtime.write_archive(str(tmp_path / name))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_hash_is_told_once_for_a_run_and_what_is_packed_tells_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    podrt, directory = tmp_path / "podrt", tmp_path / "run"
    shutil.copytree(runtime.PODRT, podrt, ignore=shutil.ignore_patterns("__pycache__"))
    directory.mkdir()
    monkeypatch.setattr(runtime, "PODRT", str(podrt))
    begun = runtime.runtime_hash()
    assert runtime.kept_hash(str(directory)) == begun == runtime.write_archive(str(tmp_path / "first"))
    (podrt / "errors.py").write_text("# another release\n")
    assert runtime.kept_hash(str(directory)) == begun
    assert runtime.write_archive(str(tmp_path / "second")) == runtime.runtime_hash() != begun
    assert [path.name for path in directory.iterdir()] == ["stagecraft.pods.runtime"]


def test_a_hash_that_cannot_be_kept_is_told_all_the_same(tmp_path: pathlib.Path) -> None:
    assert runtime.kept_hash(str(tmp_path / "missing")) == runtime.runtime_hash()


@pytest.mark.finding("use-N17")
@pytest.mark.parametrize(
    ("line", "reason"),
    [("requests>=99", "version .* is installed"), ("no-such-library>=1", "it is not installed")],
)
def test_a_library_out_of_its_range_is_named_with_what_to_install(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, line: str, reason: str
) -> None:
    (tmp_path / "runtime.txt").write_text(f"# libraries\n{line}\n")
    monkeypatch.setattr(runtime, "REQUIREMENTS", str(tmp_path / "runtime.txt"))
    with pytest.raises(runtime.LibraryMissing, match=f"{line}.*{reason}.*requirements/runtime.txt"):
        runtime.libraries_hash()


@pytest.mark.finding("use-N17")
def test_requirements_are_ranges_that_leave_room_beside_other_tools() -> None:
    assert [str(wanted) for wanted in runtime.requirements() if "==" in str(wanted)] == []


@pytest.mark.finding("use-N17")
def test_the_runtime_is_the_same_whatever_the_libraries_are(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = runtime.runtime_hash(), runtime.libraries_hash()
    (tmp_path / "runtime.txt").write_text("requests\n")
    monkeypatch.setattr(runtime, "REQUIREMENTS", str(tmp_path / "runtime.txt"))
    assert runtime.runtime_hash() == before[0]
    assert runtime.libraries_hash() != before[1]
