# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing the runtime: the controller's archive, compiled once, in a directory of its hash. PRIVATE."""

from __future__ import annotations

import compileall
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

MINIMUM = (3, 9)
PODCTL_MODE = 0o755
KEY_MODE = 0o600
KEY_BYTES = 32
UNITS = "/etc/systemd/system"
DATA_DIR, CONFIG_DIR = "/var/lib/pods", "/etc/pods"  # what podctl takes unless it is told
_ENTRY = os.path.join("podrt", "launch.py")
_STARTED = re.compile(r"/runtime/([^/]+)/podrt/launch[.]py")

# A shell starts in 1 ms; Python finds its compiled files only beside a module that it imports, not a script.
_LAUNCHER = """\
#!/bin/sh
# Written by stagecraft.pods.
exec {words} "$@"
"""


class InstallError(Exception):
    """Why the runtime cannot be installed, and what to do."""


def runtime_dir(data_dir: str, wanted: str) -> str:
    """Where the runtime of that content hash is, or would be."""
    return os.path.join(data_dir, "runtime", wanted)


def is_installed(path: str) -> bool:
    """Whether a whole runtime is there: a directory gets its name only when it is complete."""
    return os.path.isfile(os.path.join(path, _ENTRY))


def install(archive: str, path: str) -> None:
    """Unpack and compile the archive into path, a runtime_dir, whole or not at all; and make the host's key."""
    if sys.version_info < MINIMUM:
        raise InstallError(
            "the runtime needs Python 3.9 or newer on the host; set ansible_python_interpreter"
        )
    parent = os.path.dirname(path)
    os.makedirs(parent, mode=0o755, exist_ok=True)
    lock = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make_key(os.path.join(os.path.dirname(parent), "fingerprint.key"))
        if is_installed(path):
            return
        aside = path + ".new"
        shutil.rmtree(aside, ignore_errors=True)
        unpack(archive, aside)
        os.sync()
        os.rename(aside, path)
        os.fsync(lock)
    finally:
        os.close(lock)


def make_key(path: str) -> None:
    """Write the key of this host's fingerprints, once: another one would make equal secrets look changed.

    The caller holds the lock of the installation.
    """
    if os.path.lexists(path):
        return
    aside = path + ".new"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, KEY_MODE)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, KEY_MODE)
        file.write(os.urandom(KEY_BYTES))
        file.flush()
        os.fsync(fd)
    os.rename(aside, path)


def unpack(archive: str, directory: str) -> None:
    """Unpack and compile the archive into a new directory, and bundle the runtime's own modules."""
    root = os.path.realpath(directory)
    with tarfile.open(archive) as held:
        for entry in held:
            target = os.path.realpath(os.path.join(root, entry.name))
            if not entry.isfile() or not target.startswith(root + os.sep):
                raise InstallError(
                    f"the archive of the runtime holds {entry.name!r}, which does not belong there"
                )
            os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
            with open(target, "wb") as file:
                file.write(_content(held, entry))
    # Content has its own directory and never changes: nothing has to be checked at each import.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(root, quiet=2, invalidation_mode=mode, stripdir=root)
    sys.path.insert(0, root)
    import_module("podrt.bundle").write(root)
    sys.path.remove(root)


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    held = archive.extractfile(entry)
    return held.read() if held else b""


def launcher_text(path: str, data_dir: str, config_dir: str) -> str:
    """The podctl that people call, for the runtime at path and these directories.

    What is podctl's own default is left out, so that the host's configuration still counts. A later flag wins.
    """
    words = [os.path.realpath(sys.executable), "-I", "-S", os.path.join(path, _ENTRY)]
    words += [f"--dir={data_dir}"] if os.path.normpath(data_dir) != DATA_DIR else []
    words += [f"--local-config={config_dir}"] if os.path.normpath(config_dir) != CONFIG_DIR else []
    return _LAUNCHER.format(words=" ".join(map(shlex.quote, words)))


def write_launcher(podctl: str, text: str) -> None:
    """Write podctl aside and rename it in."""
    os.makedirs(os.path.dirname(podctl), mode=0o755, exist_ok=True)
    aside = podctl + ".new"
    with open(aside, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(aside, PODCTL_MODE)
    os.rename(aside, podctl)


def read(path: str) -> str | None:
    """The content of a text file, None when there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def users(data_dir: str) -> dict[str, list[str]]:
    """{directory of a runtime: UUIDs of the pods that were prepared with it}."""
    found: dict[str, list[str]] = {}
    pods = os.path.join(data_dir, "pods")
    for state in sorted(os.listdir(pods)) if os.path.isdir(pods) else ():
        for uuid in sorted(os.listdir(os.path.join(pods, state))):
            runtime = read(os.path.join(pods, state, uuid, "runtime"))
            if runtime:
                found.setdefault(runtime.strip(), []).append(uuid)
    return found


def started_by_units(units: str = UNITS) -> set[str]:
    """The content hashes of the runtimes that units of pods start, whether their pods are there or not."""
    found: set[str] = set()
    for path in glob.glob(os.path.join(glob.escape(units), "pod-*.service")):
        lines = (read(path) or "").splitlines()
        found.update(*(_STARTED.findall(line) for line in lines if line.startswith("ExecStart=")))
    return found


def unused(data_dir: str, kept: str | None, units: str = UNITS) -> list[str]:
    """The installed runtimes that neither a pod nor a unit uses, but for kept."""
    directory = os.path.join(data_dir, "runtime")
    names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    started = started_by_units(units)
    paths = [
        os.path.join(directory, name) for name in names if not name.endswith(".new") and name not in started
    ]
    # Pods have noted where the runtime really is; the data directory may be reached through a link.
    in_use = {os.path.realpath(path) for path in (*users(data_dir), *filter(None, [kept]))}
    return [path for path in paths if os.path.realpath(path) not in in_use]
