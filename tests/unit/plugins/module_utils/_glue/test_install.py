# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The installation of a runtime: the command, the key, and who uses which one."""

from __future__ import annotations

import io
import os
import pathlib
import stat
import subprocess
import sys
import tarfile

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils._glue import install
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt import bundle, compiling
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0 import compare
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks.info import runtimes_in_use

OLD, NEW, OTHER = "0" * 32, "1" * 32, "2" * 32
# Instead of a runtime: shows how it was called.
RUNTIME = {
    "podrt/launch.py": b"import sys\nprint('\\n'.join(sys.argv[1:]))\n",
    "podrt/__init__.py": b"",
    "podrt/bundle.py": pathlib.Path(bundle.__file__).read_bytes(),
    "podrt/compiling.py": pathlib.Path(compiling.__file__).read_bytes(),
    "lib/library.py": b"VERSION = 1\n",
    "pythons": b"library 1.0 3.9\n",
}
FIRST, SECOND = "a" * 32, "b" * 32


@pytest.fixture
def archive(tmp_path: pathlib.Path) -> str:
    return packed(tmp_path / "runtime.tar", RUNTIME)


def packed(path: pathlib.Path, members: dict[str, bytes]) -> str:
    with tarfile.open(path, "w") as file:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    return str(path)


def installed(archive: str, data: pathlib.Path, *hashes: str) -> list[str]:
    """Install runtimes. Their directories."""
    paths = [install.runtime_dir(str(data), name) for name in hashes]
    for path in paths:
        install.install(archive, path, FIRST)
    return paths


# --- podctl ---


def called(podctl: pathlib.Path, *words: str) -> list[str]:
    return subprocess.run(
        [str(podctl), *words], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.splitlines()


def test_podctl_knows_the_directories_of_its_host(archive: str, tmp_path: pathlib.Path) -> None:
    data, config = tmp_path / 'it\'s a $HOME; "dir"', tmp_path / "etc"
    (path,) = installed(archive, data, NEW)
    podctl = tmp_path / "bin" / "podctl"
    install.write_launcher(str(podctl), install.launcher_text(path, str(data), str(config)))
    assert called(podctl, "list", "--dir=/else", "a b") == [
        f"--dir={data}",
        f"--local-config={config}",
        "list",
        "--dir=/else",
        "a b",
    ]
    assert podctl.read_text().splitlines()[-1].startswith("exec ")


def test_podctl_says_nothing_of_directories_that_it_takes_anyway(tmp_path: pathlib.Path) -> None:
    assert (Paths().data, Paths().local_config) == (install.DATA_DIR, install.CONFIG_DIR)
    text = install.launcher_text("/runtime", "/var/lib/pods/", "/etc/pods")
    assert "--" not in text
    assert "--local-config" not in install.launcher_text("/runtime", "/srv/pods", "/etc/pods")


# --- the key of fingerprints ---


def test_the_key_is_made_once_and_is_nobodys_business(archive: str, tmp_path: pathlib.Path) -> None:
    installed(archive, tmp_path / "data", OLD)
    key = tmp_path / "data" / "fingerprint.key"
    content = key.read_bytes()
    assert (len(content), stat.S_IMODE(key.stat().st_mode)) == (32, 0o600)
    installed(archive, tmp_path / "data", NEW)
    assert key.read_bytes() == content
    assert sorted(os.listdir(tmp_path / "data")) == ["fingerprint.key", "libraries", "runtime"]


def test_hosts_have_keys_of_their_own(archive: str, tmp_path: pathlib.Path) -> None:
    keys = []
    for name in ("one", "two"):
        installed(archive, tmp_path / name, NEW)
        paths = Paths(data=str(tmp_path / name))
        keys.append(compare.fingerprint_key(paths))
        assert compare.fingerprint_key(paths) == keys[-1]
    assert keys[0] != keys[1]


def test_without_a_key_nobody_can_guess_one(tmp_path: pathlib.Path) -> None:
    paths = Paths(data=str(tmp_path))
    assert compare.fingerprint_key(paths) != compare.fingerprint_key(paths)


# --- who uses what ---


def test_a_runtime_goes_when_nobody_uses_it(archive: str, tmp_path: pathlib.Path) -> None:
    data, units = tmp_path / "data", tmp_path / "units"
    old, new, other = installed(archive, data, OLD, NEW, OTHER)
    pod = data / "pods" / "run" / "5a4f7a52-8b1c-4c5e-9a57-0f1d3b2c4e6f"
    pod.mkdir(parents=True)
    (pod / "runtime").write_text(old)
    units.mkdir()
    (units / "pod-web.service").write_text(
        f'[Service]\nExecStart=/usr/bin/python3 -I -S "{other}/podrt/launch.py" --dir={data} start web\n'
    )
    assert install.unused(str(data), new, str(units)) == []
    (units / "pod-web.service").write_text(f"# {other}/podrt/launch.py\n[Service]\nExecStart=/bin/true\n")
    assert install.unused(str(data), new, str(units)) == [other]
    (pod / "runtime").unlink()
    assert install.unused(str(data), new, str(units)) == [old, other]
    assert install.unused(str(data), None, str(units)) == [old, new, other, str(data / "libraries" / FIRST)]


def test_the_runtime_finds_in_use_what_the_installer_keeps(archive: str, tmp_path: pathlib.Path) -> None:
    data, units = tmp_path / "data", tmp_path / "units"
    old, new, other = installed(archive, data, OLD, NEW, OTHER)
    host = Host.here(Paths(data=str(data), units=str(units)))
    pod = pathlib.Path(host.paths.pod("exited-garbage", "5a4f7a52-8b1c-4c5e-9a57-0f1d3b2c4e6f").path)
    pod.mkdir(parents=True)
    (pod / "runtime").write_text(old)
    units.mkdir()
    text = f'# {new}/podrt/launch.py\n[Service]\nExecStart="/usr/bin/python3" -I "{other}/podrt/launch.py" start web\n'
    pathlib.Path(host.paths.unit("web")).write_text(text)
    assert runtimes_in_use(host) == {old, other}
    assert install.unused(str(data), None, str(units)) == [new]
    pathlib.Path(host.paths.unit("web")).rename(units / "web.service")
    assert runtimes_in_use(host) == {old}
    assert install.unused(str(data), None, str(units)) == [new, other]


def test_the_installer_knows_the_places_of_the_runtime(archive: str, tmp_path: pathlib.Path) -> None:
    paths = Paths(data=str(tmp_path))
    installed(archive, tmp_path, NEW)
    assert os.path.exists(paths.fingerprint_key)
    assert install.runtime_dir(paths.data, NEW) == f"{paths.runtimes}/{NEW}"
    assert (Paths.units, Paths.data, Paths.local_config) == (
        install.UNITS,
        install.DATA_DIR,
        install.CONFIG_DIR,
    )


def test_a_runtime_that_is_reached_through_a_link_is_in_use_all_the_same(
    archive: str, tmp_path: pathlib.Path
) -> None:
    (real,) = installed(archive, tmp_path / "real", NEW)
    link = tmp_path / "link"
    link.symlink_to("real")
    pod = tmp_path / "real" / "pods" / "run" / "5a4f7a52-8b1c-4c5e-9a57-0f1d3b2c4e6f"
    pod.mkdir(parents=True)
    (pod / "runtime").write_text(real)
    assert install.unused(str(link), None, str(tmp_path)) == []
    (pod / "runtime").unlink()
    assert install.unused(str(link), real, str(tmp_path)) == []


@pytest.mark.finding("review-B9")
def test_a_runtime_that_a_task_runs_from_stays(archive: str, tmp_path: pathlib.Path) -> None:
    (path,) = installed(archive, tmp_path, NEW)
    task = "import sys; sys.path.insert(0, sys.argv[1])\n"
    task += "from podrt.bundle import use; use(sys.argv[1]); print(); input()"
    with subprocess.Popen(
        [sys.executable, "-c", task, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stdout.readline()
        assert install.prune(str(tmp_path), None) == []
        process.communicate(b"\n")
    assert install.prune(str(tmp_path), None) == [path, str(tmp_path / "libraries" / FIRST)]
    assert os.listdir(tmp_path / "runtime") == os.listdir(tmp_path / "libraries") == []


@pytest.mark.finding("review-B9")
def test_a_removal_that_was_cut_short_leaves_no_half_runtime_and_is_finished_by_the_next(
    archive: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = installed(archive, tmp_path, NEW)

    def cut_short(_path: str) -> None:
        raise InterruptedError

    with monkeypatch.context() as patched, pytest.raises(InterruptedError):
        patched.setattr(install.shutil, "rmtree", cut_short)  # dies at the first file
        install.prune(str(tmp_path), None)
    assert not install.is_installed(path)
    assert install.prune(str(tmp_path), None) == []
    assert os.listdir(tmp_path / "runtime") == os.listdir(tmp_path / "libraries") == []


# --- libraries ---


def test_another_version_of_a_library_is_no_other_runtime(archive: str, tmp_path: pathlib.Path) -> None:
    (path,) = installed(archive, tmp_path, NEW)
    before = sorted(os.listdir(path)), os.stat(f"{path}/podrt/launch.py").st_ino
    newer = packed(tmp_path / "newer.tar", {**RUNTIME, "lib/library.py": b"VERSION = 2\n"})
    install.install(newer, path, SECOND)
    assert (sorted(os.listdir(path)), os.stat(f"{path}/podrt/launch.py").st_ino) == before
    assert pathlib.Path(path, "lib", "library.py").read_text() == "VERSION = 2\n"
    assert install.libraries_of(path) == SECOND
    assert install.prune(str(tmp_path), path) == [str(tmp_path / "libraries" / FIRST)]


def test_runtimes_share_their_libraries(archive: str, tmp_path: pathlib.Path) -> None:
    old, new = installed(archive, tmp_path, OLD, NEW)
    assert os.path.samefile(f"{old}/lib", f"{new}/lib")
    assert install.prune(str(tmp_path), new) == [old]
    assert install.is_installed(new)


def test_a_library_that_needs_a_newer_python_is_refused_before_anything_is_in_place(
    tmp_path: pathlib.Path,
) -> None:
    archive = packed(tmp_path / "new.tar", {**RUNTIME, "pythons": b"urllib3 9.9 3.99\n"})
    path = install.runtime_dir(str(tmp_path), NEW)
    with pytest.raises(
        install.InstallError, match=r"urllib3 9[.]9, which the controller brings, needs Python 3[.]99"
    ):
        install.install(archive, path, FIRST)
    assert not install.is_installed(path)


@pytest.mark.finding("review-B20")
def test_what_does_not_compile_is_not_installed(tmp_path: pathlib.Path) -> None:
    before = list(sys.path)
    archive = packed(tmp_path / "bad.tar", {**RUNTIME, "podrt/broken.py": b"def (:\n"})
    with pytest.raises(install.InstallError, match="cannot compile the runtime"):
        install.install(archive, install.runtime_dir(str(tmp_path), NEW), FIRST)
    assert not install.is_installed(install.runtime_dir(str(tmp_path), NEW))
    assert sys.path == before
