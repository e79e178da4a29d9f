# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install the runtime from the controller's archive, and compile it once. PRIVATE.

    DATA/runtime/HASH/podrt          the runtime's own files; HASH is their content's
    DATA/runtime/HASH/lib            a symbolic link to the libraries that it uses
    DATA/libraries/HASH              the libraries; HASH is that of their names and versions

So another version of a library changes no runtime, and therefore no pod. One rename installs or removes a directory;
HASH.new and HASH.old are leftovers of a crash. Everything happens under the lock of DATA/runtime.
"""

from __future__ import annotations

import compileall
import contextlib
import fcntl
import glob
import os
import py_compile
import re
import shlex
import shutil
import sys
import tarfile
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MINIMUM = (3, 9)
PODCTL_MODE = 0o755
KEY_MODE = 0o600
KEY_BYTES = 32
UNITS = "/etc/systemd/system"
DATA_DIR, CONFIG_DIR = "/var/lib/pods", "/etc/pods"  # the defaults of podctl
_ENTRY = os.path.join("podrt", "launch.py")
_LIB = "lib"
_PYTHONS = "pythons"  # as plugin_utils.runtime writes it
_STARTED = re.compile(r"/runtime/([^/]+)/podrt/launch[.]py")

# A shell starts in 1 ms; Python uses compiled files only for modules that it imports, not for a script.
_LAUNCHER = """\
#!/bin/sh
# Written by stagecraft.pods. Python cannot start with a directory as a standard file.
for fd in 0 1 2; do
  [ -d "/proc/self/fd/$fd" ] && {{ echo "podctl: a standard file is a directory" >&2; exit 254; }}
done
exec {words} "$@"
"""


class InstallError(Exception):
    """The runtime cannot be installed; the message has the reason and the hint."""


def runtime_dir(data_dir: str, wanted: str) -> str:
    """The directory of the runtime of a content hash, whether it exists or not."""
    return os.path.join(data_dir, "runtime", wanted)


def is_installed(path: str) -> bool:
    """Whether a complete runtime is at path: a directory gets its name only when it is complete."""
    return os.path.isfile(os.path.join(path, _ENTRY)) and os.path.isdir(os.path.join(path, _LIB))


def libraries_of(path: str) -> str | None:
    """The hash of the libraries that an installed runtime uses, None if it has no libraries."""
    try:
        return os.path.basename(os.readlink(os.path.join(path, _LIB)))
    except OSError:
        return None


def install(archive: str, path: str, libraries: str) -> None:
    """Install the missing parts of the archive, and create the host's fingerprint key.

    path: a runtime_dir. libraries: the hash of the archive's libraries, which the runtime is switched to.
    """
    parent, data_dir = os.path.dirname(path), os.path.dirname(os.path.dirname(path))
    home = os.path.join(data_dir, "libraries", libraries)
    for directory in (parent, os.path.dirname(home)):
        os.makedirs(directory, mode=0o755, exist_ok=True)
    with _locked(parent):
        make_key(os.path.join(data_dir, "fingerprint.key"))
        aside = path + ".new"
        shutil.rmtree(aside, ignore_errors=True)
        unpack(archive, aside)
        os.sync()
        if not os.path.isdir(home):
            os.rename(os.path.join(aside, _LIB), home)
            _sync(os.path.dirname(home))
        if os.path.isfile(os.path.join(path, _ENTRY)):
            _link_libraries(path, home)
        else:
            shutil.rmtree(os.path.join(aside, _LIB), ignore_errors=True)
            _link_libraries(aside, home)
            os.rename(aside, path)
        _sync(parent)
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Let an error of a write, which the kernel tells without a path, say where it was."""
    try:
        yield
    except OSError as err:
        err.filename = err.filename or path
        raise


@contextlib.contextmanager
def _locked(directory: str) -> Iterator[None]:
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _sync(directory: str) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _link_libraries(path: str, home: str) -> None:
    """Link a runtime to the libraries at home, by a relative path, so that a data directory can be moved."""
    aside = os.path.join(path, _LIB + ".new")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(aside)
    os.symlink(os.path.join("..", "..", "libraries", os.path.basename(home)), aside)
    os.rename(aside, os.path.join(path, _LIB))
    _sync(path)


def make_key(path: str) -> None:
    """Create the key of this host's fingerprints, once: with another key, equal secrets would look changed.

    The caller holds the lock of the installation.
    """
    if os.path.lexists(path):
        return
    aside = path + ".new"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, KEY_MODE)
    with _naming(path), os.fdopen(fd, "wb") as file:
        os.fchmod(fd, KEY_MODE)
        file.write(os.urandom(KEY_BYTES))
        file.flush()
        os.fsync(fd)
    os.rename(aside, path)


def unpack(archive: str, directory: str) -> None:
    """Unpack the archive into a new directory, compile it, and bundle the runtime's own modules.

    Raises InstallError when this Python is too old, or the archive holds a path that leads out of it, and OSError.
    """
    _require(MINIMUM, "the runtime")
    root = os.path.realpath(directory)
    with _naming(root), tarfile.open(archive) as opened:
        for entry in opened:
            target = os.path.realpath(os.path.join(root, entry.name))
            if not entry.isfile() or not target.startswith(root + os.sep):
                raise InstallError(
                    f"the archive of the runtime holds {entry.name!r}, which does not belong there"
                )
            os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
            with open(target, "wb") as file:
                file.write(_content(opened, entry))
    _check_pythons(read(os.path.join(root, _PYTHONS)) or "")
    os.makedirs(os.path.join(root, _LIB), mode=0o755, exist_ok=True)
    # The content of a hash never changes, so imports need not check it. A library may have files that this Python
    # cannot compile; the runtime has none.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(os.path.join(root, _LIB), quiet=2, invalidation_mode=mode, stripdir=root)
    sys.path.insert(0, root)
    try:
        with _naming(root):
            import_module("podrt.compiling").write(root)
    except (SyntaxError, ValueError) as err:
        raise InstallError(f"this Python, {sys.version.split()[0]}, cannot compile the runtime") from err
    finally:
        sys.path.remove(root)


def _check_pythons(lines: str) -> None:
    for line in lines.splitlines():
        name, version, minimum = line.split()
        _require(tuple(map(int, minimum.split("."))), f"{name} {version}, which the controller brings,")


def _require(minimum: tuple[int, ...], what: str) -> None:
    if sys.version_info < minimum:
        wanted, found = ".".join(map(str, minimum)), sys.version.split()[0]
        raise InstallError(
            f"{what} needs Python {wanted} or newer on the host, which has {found}; set ansible_python_interpreter, "
            "or install an older version on the controller"
        )


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(entry)
    return file.read() if file else b""


def launcher_text(path: str, data_dir: str, config_dir: str) -> str:
    """The script podctl, for the runtime at path and these directories.

    Directories that are podctl's defaults are left out, so that the host's configuration still applies. The last flag
    wins.
    """
    words = [os.path.realpath(sys.executable), "-I", "-S", os.path.join(path, _ENTRY)]
    words += [f"--dir={data_dir}"] if os.path.normpath(data_dir) != DATA_DIR else []
    words += [f"--local-config={config_dir}"] if os.path.normpath(config_dir) != CONFIG_DIR else []
    return _LAUNCHER.format(words=" ".join(map(shlex.quote, words)))


def write_launcher(podctl: str, text: str) -> None:
    """Write podctl aside and rename it in."""
    os.makedirs(os.path.dirname(podctl), mode=0o755, exist_ok=True)
    aside = podctl + ".new"
    with _naming(podctl), open(aside, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), PODCTL_MODE)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(aside, podctl)
    _sync(os.path.dirname(podctl))


def read(path: str) -> str | None:
    """The content of a text file, None if it does not exist."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def users(data_dir: str) -> dict[str, list[str]]:
    """{directory of a runtime: UUIDs of the pods that were prepared with it}."""
    by_runtime: dict[str, list[str]] = {}
    pods = os.path.join(data_dir, "pods")
    for state in sorted(os.listdir(pods)) if os.path.isdir(pods) else ():
        for uuid in sorted(os.listdir(os.path.join(pods, state))):
            runtime = read(os.path.join(pods, state, uuid, "runtime"))
            if runtime:
                by_runtime.setdefault(runtime.strip(), []).append(uuid)
    return by_runtime


def started_by_units(units: str = UNITS) -> set[str]:
    """The content hashes of the runtimes in units of pods, whether their pods exist or not."""
    hashes: set[str] = set()
    for path in glob.glob(os.path.join(glob.escape(units), "pod-*.service")):
        lines = (read(path) or "").splitlines()
        hashes.update(*(_STARTED.findall(line) for line in lines if line.startswith("ExecStart=")))
    return hashes


def unused(data_dir: str, kept: str | None, units: str = UNITS) -> list[str]:
    """The installed runtimes, except kept, that no pod, unit or process uses, and the libraries that only they use."""
    directory = os.path.join(data_dir, "runtime")
    started, all_paths = started_by_units(units), _members(directory)
    # Pods record the real path of their runtime; the data directory may be reached through a link.
    in_use = {os.path.realpath(path) for path in (*users(data_dir), *filter(None, [kept]))}
    gone = [
        path
        for path in all_paths
        if os.path.basename(path) not in started
        and os.path.realpath(path) not in in_use
        and not _is_held(path)
    ]
    needed = {libraries_of(path) for path in all_paths if path not in gone}
    homes = _members(os.path.join(data_dir, "libraries"))
    return gone + [path for path in homes if os.path.basename(path) not in needed]


def prune(data_dir: str, kept: str | None) -> list[str]:
    """Remove what is unused, and leftovers of earlier removals. Returns the paths that were unused."""
    directory = os.path.join(data_dir, "runtime")
    if not os.path.isdir(directory):
        return []
    with _locked(directory):
        gone = unused(data_dir, kept)
        for path in gone:
            os.rename(path, path + ".old")
        for place in (directory, os.path.join(data_dir, "libraries")):
            for path in glob.glob(os.path.join(glob.escape(place), "*.old")):
                shutil.rmtree(path)
    return gone


def _members(directory: str) -> list[str]:
    names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    return [os.path.join(directory, name) for name in names if not name.endswith((".new", ".old"))]


def _is_held(path: str) -> bool:
    """Whether a task or podctl runs from a runtime: each holds a shared lock on its directory."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
