# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtime on the controller: its files, its content hash, and the archive that is sent to hosts."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import tarfile
import tempfile
from importlib import metadata

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from packaging.requirements import Requirement

_PLUGINS = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
PODRT = os.path.join(_PLUGINS, "module_utils", "podrt")
# The libraries that are sent with the runtime, all pure Python, as ranges of versions.
REQUIREMENTS = os.path.join(os.path.dirname(_PLUGINS), "requirements", "runtime.txt")
# In the archive: one line per library, "NAME VERSION MINIMUM", the oldest Python for it. Read by _glue.install.
PYTHONS = "pythons"
_OLDEST, _NEWEST = 9, 40
_KEPT = "stagecraft.pods.runtime"
# To a third in 25 ms. The best that there is would save a sixth of that, and take ten times as long.
_QUICKLY = 1
_MTIME = 1767225600  # of all files in the archive, so that equal content makes equal archives


class LibraryMissing(Exception):
    """The controller lacks a library that hosts need."""


def sources() -> list[tuple[str, str]]:
    """Every file of podrt, as sorted pairs of the name in the archive and the path."""
    files = []
    for directory, subdirs, names in os.walk(PODRT):
        subdirs[:] = sorted(name for name in subdirs if name != "__pycache__")
        for name in sorted(names):
            if name.endswith(".py"):
                path = os.path.join(directory, name)
                files.append((os.path.join("podrt", os.path.relpath(path, PODRT)), path))
    return sorted(files)


def runtime_hash() -> str:
    """The content hash of the runtime's own files. 32 hex digits."""
    return _hash_of((name, _content(path)) for name, path in sources())


def kept_hash(directory: str) -> str:
    """The same, computed once per run of Ansible, since two hundred files take four milliseconds.

    directory: the temporary directory of the run, where Ansible also keeps the modules that it has packed.
    """
    path = os.path.join(directory, _KEPT)
    with contextlib.suppress(FileNotFoundError), open(path, encoding="ascii") as file:
        return file.read()
    computed = runtime_hash()
    with contextlib.suppress(OSError):  # the next task computes it again
        with tempfile.NamedTemporaryFile("w", encoding="ascii", dir=directory, delete=False) as aside:
            aside.write(computed)
        os.replace(aside.name, path)
    return computed


def libraries_hash() -> str:
    """The hash of the versions of the controller's libraries. 32 hex digits. Raises LibraryMissing."""
    versions = "".join(f"{library.metadata['Name']}=={library.version}\n" for library in libraries())
    return hashlib.sha256(versions.encode()).hexdigest()[:32]


def requirements() -> list[Requirement]:
    """The libraries that hosts need, sorted by name."""
    from packaging.requirements import Requirement  # a dependency of ansible-core

    with open(REQUIREMENTS, encoding="utf-8") as file:
        lines = [line.partition("#")[0].strip() for line in file]
    return sorted((Requirement(line) for line in lines if line), key=lambda wanted: wanted.name)


def libraries() -> list[metadata.Distribution]:
    """The installed libraries of the controller, sorted by name. Raises LibraryMissing."""
    return [_installed(wanted) for wanted in requirements()]


def write_archive(path: str) -> str:
    """Write the archive: podrt/, lib/ and PYTHONS, compressed. Returns the content hash of its runtime.

    Raises LibraryMissing, which names a library that the controller lacks.
    """
    installed = libraries()
    own = [(name, _content(source)) for name, source in sources()]
    with (
        open(path, "wb") as file,
        gzip.GzipFile("", "wb", _QUICKLY, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, data in own:
            _add(archive, name, data)
        for library in installed:
            for name, source in _library_files(library):
                _add(archive, os.path.join("lib", name), _content(source))
        _add(archive, PYTHONS, "".join(map(_oldest_python, installed)).encode())
    return _hash_of(own)


def _installed(wanted: Requirement) -> metadata.Distribution:
    try:
        library = metadata.distribution(wanted.name)
    except metadata.PackageNotFoundError:
        raise LibraryMissing(_complaint(wanted, "it is not installed")) from None
    if not wanted.specifier.contains(library.version, prereleases=True):
        raise LibraryMissing(_complaint(wanted, f"version {library.version} is installed"))
    return library


def _library_files(library: metadata.Distribution) -> Iterator[tuple[str, str]]:
    for file in sorted(library.files or [], key=str):
        if file.suffix in (".py", ".pem") and ".." not in file.parts:
            yield str(file), str(library.locate_file(file))


def _oldest_python(library: metadata.Distribution) -> str:
    from packaging.specifiers import SpecifierSet

    allowed = SpecifierSet(library.metadata.get("Requires-Python") or "")
    minor = next((minor for minor in range(_OLDEST, _NEWEST) if allowed.contains(f"3.{minor}.99")), _OLDEST)
    return f"{library.metadata['Name']} {library.version} 3.{minor}\n"


def _complaint(wanted: Requirement, why: str) -> str:
    return (
        f"the controller needs the Python library {wanted} to bring it to hosts, and {why}; "
        "install the collection's requirements/runtime.txt for the Python that runs Ansible"
    )


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _hash_of(files: Iterable[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256()
    for name, data in files:
        digest.update((f"{name}\0").encode() + hashlib.sha256(data).digest())
    return digest.hexdigest()[:32]


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = len(data), _MTIME, 0o644
    archive.addfile(entry, io.BytesIO(data))
