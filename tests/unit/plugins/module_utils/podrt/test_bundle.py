# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""An installed runtime starts from one file, and from its modules where that is missing."""

from __future__ import annotations

import graphlib
import importlib.util
import marshal
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt import bundle, compiling

PODRT = pathlib.Path(bundle.__file__).parent
LOADERS = """
import sys
sys.path.insert(0, sys.argv[1])
from podrt.bundle import use
use(sys.argv[1])
import podrt.cli.main, podrt.host.host as host
print(type(podrt.cli.main.__loader__).__name__, podrt.cli.main.__file__, host.Host.here(host.Paths()).runtime)
"""

SUPERVISOR = """
import sys
sys.path.insert(0, sys.argv[1])
from podrt.bundle import use
use(sys.argv[1])
from podrt.stage1.inside.program import supervisor_file, supervisor_programs
print(len(supervisor_file()), *(name for name, code in supervisor_programs() if code))
"""

# What loads how many modules, with as many other threads, and what a module that cannot be loaded leaves.
SHORT_WAY = """
import sys, threading
sys.path.insert(0, sys.argv[1])
from podrt.bundle import Bundle, use
use(sys.argv[1])
loaded, load = [], Bundle._load
Bundle._load = lambda bundle, name: (loaded.append(name), load(bundle, name))
end = threading.Event()
others = [threading.Thread(target=end.wait) for _number in range(int(sys.argv[2]))]
for other in others:
    other.start()
import podrt.stage1.starter.start
import podrt.host.host as host
end.set()
odd = [name for name, module in sys.modules.items() if name.startswith("podrt.") and not (
    module.__name__ == name and module.__loader__ is module.__spec__.loader and module.__spec__.name == name
    and module.__package__ == (name if hasattr(module, "__path__") else name.rpartition(".")[0])
    and getattr(sys.modules[name.rpartition(".")[0]], name.rpartition(".")[2]) is module)]
print(len(loaded), len(set(loaded)), odd, host.__file__ == sys.argv[1] + "/podrt/host/host.py")
"""
BROKEN = """
import sys
sys.path.insert(0, sys.argv[1])
from podrt.bundle import use
use(sys.argv[1])
for _again in range(2):
    try:
        import podrt.upper
    except ValueError as err:
        print(err, *(name for name in sys.modules if name.startswith("podrt.") and "bundle" not in name))
"""


@pytest.fixture(name="installed", scope="module")
def _installed(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A runtime as it is installed. To compile it takes seconds."""
    root = tmp_path_factory.mktemp("installed") / "runtime"
    shutil.copytree(PODRT, root / "podrt", ignore=shutil.ignore_patterns("__pycache__"))
    compiling.write(str(root))
    return root


@pytest.fixture(name="runtime")
def _runtime(installed: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """One of a test's own, whose files may be removed, and replaced, but not written to."""
    return pathlib.Path(shutil.copytree(installed, tmp_path / "runtime", copy_function=os.link))


def python(*words: str) -> str:
    done = subprocess.run([sys.executable, "-I", "-S", *words], check=True, text=True, capture_output=True)
    return done.stdout.strip()


def test_modules_come_from_the_bundle_and_know_where_they_are(installed: pathlib.Path) -> None:
    loader, file, root = python("-c", LOADERS, str(installed)).split()
    assert (loader, file, root) == ("Bundle", f"{installed}/podrt/cli/main.py", str(installed))


@pytest.mark.parametrize("others", [0, 1])
def test_what_a_module_imports_is_loaded_before_it_unless_there_are_threads(
    installed: pathlib.Path, others: int
) -> None:
    loaded, once, *odd = python("-c", SHORT_WAY, str(installed), str(others)).split()
    assert (loaded, odd) == (once, ["[]", "True"])
    assert int(loaded) == 0 if others else int(loaded) > 20


def test_modules_import_at_once_in_no_circle_and_packages_nothing(installed: pathlib.Path) -> None:
    """What imports it is empty while a module is loaded, and what a package has beside modules is not looked for."""
    (path,) = installed.glob("podrt.*.bundle")
    index = marshal.loads(path.read_bytes()[bundle.HEAD :])
    needed = {name: place[4] for name, place in index.items()}
    graphlib.TopologicalSorter(needed).prepare()
    assert [name for name, place in index.items() if place[1] and place[4]] == []


def test_a_module_that_cannot_be_loaded_is_not_left_half_loaded(tmp_path: pathlib.Path) -> None:
    package = tmp_path / "podrt"
    package.mkdir()
    files = {
        "__init__": "",
        "lower": "raise ValueError('it is broken')",
        "upper": "from . import lower",
    }
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    shutil.copy(PODRT / "bundle.py", package)
    compiling.write(str(tmp_path))
    assert python("-c", BROKEN, str(tmp_path)).splitlines() == ["it is broken"] * 2


def test_the_bundle_has_every_module(runtime: pathlib.Path) -> None:
    (path,) = runtime.glob("podrt.*.bundle")
    shutil.rmtree(runtime / "podrt" / "cli")  # whose modules only the bundle has now
    assert path.stat().st_size > 100_000
    assert python("-c", LOADERS, str(runtime)).startswith("Bundle ")


def test_modules_are_compiled_once_and_for_good_and_without_docstrings(installed: pathlib.Path) -> None:
    sources = {path.relative_to(installed) for path in installed.rglob("*.py")}
    assert len(sources) > 100
    for source in sources:
        compiled = pathlib.Path(importlib.util.cache_from_source(str(installed / source))).read_bytes()
        assert compiled[:16] == importlib.util.MAGIC_NUMBER + b"\1\0\0\0" + bytes(8)
    documented = f"{installed}/podrt/bundle.py", "The compiled modules of an installed runtime"
    (path,) = installed.glob("podrt.*.bundle")
    assert documented[1] in pathlib.Path(documented[0]).read_text()
    assert documented[1].encode() not in path.read_bytes()


def test_the_supervisor_comes_from_the_bundle(runtime: pathlib.Path) -> None:
    """Who looks for its modules reads each of its files three times at every start."""
    shutil.rmtree(runtime / "podrt" / "stage1" / "pid1" / "__pycache__")
    for path in (runtime / "podrt" / "stage1" / "pid1").glob("[a-z]*.py"):
        path.unlink()
    size, *names = python("-c", SUPERVISOR, str(runtime)).split()
    assert int(size) > 1000
    assert (names[0], names[-1], len(names)) == ("pid1.timers", "pid1.idle", 16)


ENTRIES = ("ahead", "app", "command", "nursery")
# One interpreter takes the modules from the bundle; another has them and no directory to import from.
TAKES = """import marshal, sys
sys.path.insert(0, sys.argv[1])
from podrt.bundle import bundled_modules, use
use(sys.argv[1])
from podrt.stage1.inside import program
found = bundled_modules(f"podrt.stage1.inside.{sys.argv[3]}")
open(sys.argv[2], "wb").write(marshal.dumps((program._begin.__code__, found)))"""
HAS = """import marshal, os, sys
code, found = marshal.loads(open(sys.argv[2], "rb").read())
count = len(found)
class Probe:
    def main(plan, fds):
        print(plan, fds, count - len(found), *sorted(each for each in sys.modules if each.startswith("podrt")))
sys.modules["probe"] = Probe
sys.argv = ["-c", "/none", "", "probe"]
type(lambda: 0)(code, globals())(os.open("/dev/null", os.O_RDONLY), found, "plan", (7,))"""


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_interpreter_that_is_executed_again_gets_its_modules_from_the_bundle(
    installed: pathlib.Path, tmp_path: pathlib.Path, entry: str
) -> None:
    place = str(tmp_path / "modules")
    python("-c", TAKES, str(installed), place, entry)
    said = python("-c", HAS, str(tmp_path), place, entry).split()
    assert said[:2] == ["plan", "(7,)"]
    assert f"podrt.stage1.inside.{entry}" in said[3:]
    assert int(said[2]) == len(said[3:])


def test_without_a_bundle_for_this_interpreter_modules_are_imported_as_ever(runtime: pathlib.Path) -> None:
    (path,) = runtime.glob("podrt.*.bundle")
    path.rename(runtime / "podrt.cpython-1.bundle")
    loader, file, _root = python("-c", LOADERS, str(runtime)).split()
    assert (loader, file) == ("SourceFileLoader", f"{runtime}/podrt/cli/main.py")


def test_podctl_of_an_installed_runtime_starts(installed: pathlib.Path) -> None:
    assert python(str(installed / "podrt" / "launch.py"), "version").startswith("podctl Version: ")


@pytest.mark.parametrize("damage", [b"", b"\xff\xff\xff\xff", b"\x04\0\0\0rubbish", None], ids=repr)
def test_a_damaged_bundle_costs_time_and_nothing_else(runtime: pathlib.Path, damage: bytes | None) -> None:
    (path,) = runtime.glob("podrt.*.bundle")
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[:-5] if damage is None else damage)
    assert not python("-c", LOADERS, str(runtime)).startswith("Bundle ")


def test_what_a_module_imports_at_once_is_known(tmp_path: pathlib.Path) -> None:
    for name in ("", "a.", "a.b."):
        package = tmp_path / "podrt" / name.replace(".", "/")
        package.mkdir()
        for leaf in ("__init__", "one", "two", "three"):
            (package / f"{leaf}.py").write_text("")
    (tmp_path / "podrt/a/b/__init__.py").write_text("from ..two import X\nfrom . import three\n")
    (tmp_path / "podrt/a/one.py").write_text(
        """TYPE_CHECKING = False
if TYPE_CHECKING:
    from .three import Y
import os
from ..two import one
from .b import one, Z
from . import two
def late():
    from ..three import W
"""
    )
    compiling.write(str(tmp_path))
    (path,) = tmp_path.glob("podrt.*.bundle")
    data = path.read_bytes()
    index = marshal.loads(data[bundle.HEAD :])
    assert index["podrt.a.one"][4] == ("podrt.two", "podrt.a.b", "podrt.a.b.one", "podrt.a.two")
    assert index["podrt.a.b"][4] == ("podrt.a.two", "podrt.a.b.three")
    assert index["podrt.a.two"][4] == ()


def test_what_no_code_reads_is_not_compiled() -> None:
    source = b'''"""What it is for."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
else:
    KNOWN = 1


class Held:
    """A value."""

    name: Text
    size: int = 3

    def longer(self, /, more: Missing, *rest: Missing, key: Missing = 1) -> Iterator[Missing]:
        """Say it."""
        def inner(of: Missing) -> Missing:
            return of
        return inner(more)
'''
    names: dict[str, object] = {"__name__": "held"}
    exec(compiling.compiled(compiling.stripped(source, "held.py"), "held.py"), names)
    held = names["Held"]
    assert isinstance(held, type)
    assert held.__annotations__ == {"name": "Text", "size": "int"}
    assert (held.longer.__annotations__, held.longer.__kwdefaults__) == ({}, {"key": 1})  # type: ignore[attr-defined]
    assert (held().longer(2), held.__doc__, names["KNOWN"]) == (2, None, 1)
    assert "annotations" not in names
