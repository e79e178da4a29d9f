# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Tasks: plays are written and played on this machine, and report how long each of their tasks took."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

from measure import Sample, said, timed

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
CACHE = CHECKOUT / ".cache" / "bench"
# Collections of Galaxy from PyPI; only containers.podman is unpacked.
ANSIBLE = "ansible==12.3.0"
ISAL = "isal==1.7.2"
_PODMAN = "ansible_collections/containers/podman"
_DOWNLOAD_SECONDS = 120
# The host's own, where it is new enough: modules and pods run in it.
_HOST_PYTHONS = ("/usr/bin/python3", sys.executable)

Task = tuple[str, str, dict[str, object]]


@dataclass(frozen=True)
class Took:
    """The duration of a task. name: of the task in the play."""

    name: str
    ms: float
    changed: bool


@dataclass(frozen=True)
class Played:
    """The durations of the tasks of a play, without its start. cpu_ms: of the whole play, with its start."""

    took: list[Took]
    cpu_ms: float | None

    @property
    def total(self) -> Sample:
        return Sample(sum(each.ms for each in self.took), self.cpu_ms)


def play(work: pathlib.Path, tasks: Sequence[Task]) -> Played:
    """Play (name, module, options) in one play."""
    book, times = work / "play.json", work / "times.json"
    listed = [{"name": name, module: options} for name, module, options in tasks]
    book.write_text(
        json.dumps([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": listed}])
    )
    env = {
        **os.environ,
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_HOME": str(work / "ansible"),
        "ANSIBLE_COLLECTIONS_PATH": f"{CHECKOUT / '.cache' / 'collections'}:{CACHE}",
        "ANSIBLE_CALLBACK_PLUGINS": str(CHECKOUT / "benchmarks" / "callback"),
        "ANSIBLE_CALLBACKS_ENABLED": "task_times",
        "TASK_TIMES": str(times),
        "LC_ALL": "C.UTF-8",
    }
    program = pathlib.Path(sys.executable).parent / "ansible-playbook"
    whole = timed(
        [
            str(program),
            *("-i", "localhost,", "-e", f"ansible_python_interpreter={host_python()}", str(book)),
        ],
        env,
    )
    return Played([Took(*line) for line in json.loads(times.read_text())], whole.cpu_ms)


def weigh_archive(work: pathlib.Path) -> int:
    """How many bytes a host gets that has nothing yet, with the libraries that this interpreter has."""
    path = CHECKOUT / "plugins" / "plugin_utils" / "runtime.py"
    spec = importlib.util.spec_from_file_location("runtime", path)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{path} cannot be imported")
    runtime = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runtime)
    runtime.write_archive(str(work / "weighed"))
    return (work / "weighed").stat().st_size


def host_python() -> str:
    """The interpreter that modules and pods run in."""
    oldest = "import sys; sys.exit(sys.version_info < (3, 9))"
    fit = (python for python in _HOST_PYTHONS if os.path.exists(python))
    return next(each for each in fit if subprocess.run([each, "-c", oldest], check=False).returncode == 0)


def missing_collection() -> str:
    """Get containers.podman into the cache; returns why it is missing, or "". Asks PyPI once."""
    if (CACHE / _PODMAN / "MANIFEST.json").exists():
        return ""
    with tempfile.TemporaryDirectory() as folder:
        try:
            subprocess.run(
                [
                    *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                    *("--only-binary=:all:", "--dest", folder, ANSIBLE),
                ],
                check=True,
                capture_output=True,
                timeout=_DOWNLOAD_SECONDS,
            )
        except (subprocess.SubprocessError, OSError) as err:
            return f"containers.podman (missing: no {ANSIBLE} from PyPI, {type(err).__name__})"
        (wheel,) = pathlib.Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            wanted = [name for name in archive.namelist() if name.startswith(f"{_PODMAN}/")]
            archive.extractall(CACHE, wanted)
    return ""


def missing_isal() -> str:
    """Get the Python module isal for the interpreter of hosts into the cache; returns why it is missing, or ""."""
    version = said([host_python(), "-c", "import sys; print('{}.{}'.format(*sys.version_info))"])
    place = CACHE / f"{ISAL}-{version}"
    if (place / "isal").is_dir():
        return ""
    try:
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"),
                *("--python-version", version, "--target", str(place), ISAL),
            ],
            check=True,
            capture_output=True,
            timeout=_DOWNLOAD_SECONDS,
        )
    except (subprocess.SubprocessError, OSError) as err:
        return f"isal (missing: no {ISAL} from PyPI for Python {version}, {type(err).__name__})"
    return ""


def isal_package() -> pathlib.Path:
    """The package isal in the cache."""
    return next(CACHE.glob(f"{ISAL}-*/isal"))


def collection_version() -> str:
    found = json.loads((CACHE / _PODMAN / "MANIFEST.json").read_text())
    return str(found["collection_info"]["version"])
