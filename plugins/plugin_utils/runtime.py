# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtime as the controller has it: what it consists of, its content hash, and the archive that carries it."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
from importlib import metadata

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_PLUGINS = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
PODRT = os.path.join(_PLUGINS, "module_utils", "podrt")
# The libraries that travel with the runtime, all pure Python.
PINS = os.path.join(os.path.dirname(_PLUGINS), "requirements", "runtime.txt")
_MTIME = 1767225600  # files in the archive have one time, so that equal content makes equal archives


class LibraryMissing(Exception):
    """The controller lacks a library that hosts need."""


def sources() -> list[tuple[str, str]]:
    """Pairs of a name in the archive and a path: every file of podrt, sorted."""
    found = []
    for directory, subdirs, names in os.walk(PODRT):
        subdirs[:] = sorted(name for name in subdirs if name != "__pycache__")
        for name in sorted(names):
            if name.endswith(".py"):
                path = os.path.join(directory, name)
                found.append((os.path.join("podrt", os.path.relpath(path, PODRT)), path))
    return sorted(found)


def runtime_hash() -> str:
    """The content hash of the runtime: its files and the versions of its libraries. 32 hex digits."""
    digest = hashlib.sha256()
    for name, path in [*sources(), ("libraries", PINS)]:
        with open(path, "rb") as file:
            digest.update((f"{name}\0").encode() + hashlib.sha256(file.read()).digest())
    return digest.hexdigest()[:32]


def pinned() -> dict[str, str]:
    """{library: version}."""
    with open(PINS, encoding="utf-8") as file:
        return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", file.read(), re.MULTILINE))


def write_archive(path: str) -> None:
    """Write the archive: podrt/ and lib/. Raises LibraryMissing naming what the controller lacks."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, source in sources():
            _add(archive, name, source)
        for library, version in sorted(pinned().items()):
            for name, source in _library_files(library, version):
                _add(archive, os.path.join("lib", name), source)


def _library_files(library: str, version: str) -> Iterator[tuple[str, str]]:
    try:
        distribution = metadata.distribution(library)
    except metadata.PackageNotFoundError:
        raise LibraryMissing(_complaint(library, version, "it is not installed")) from None
    if distribution.version != version:
        raise LibraryMissing(_complaint(library, version, f"version {distribution.version} is installed"))
    for file in sorted(distribution.files or [], key=str):
        if file.suffix in (".py", ".pem") and ".." not in file.parts:
            yield str(file), str(distribution.locate_file(file))


def _complaint(library: str, version: str, why: str) -> str:
    return (
        f"the controller needs the Python library {library}=={version} to bring it to hosts, and {why}; "
        "install the collection's requirements/runtime.txt for the Python that runs Ansible"
    )


def _add(archive: tarfile.TarFile, name: str, source: str) -> None:
    with open(source, "rb") as file:
        data = file.read()
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = len(data), _MTIME, 0o644
    archive.addfile(entry, io.BytesIO(data))
