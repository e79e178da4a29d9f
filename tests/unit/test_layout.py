# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The rules of docs/devel/architecture.md that no linter knows: sizes, payloads, a home for each library."""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
PLUGINS = CHECKOUT / "plugins"
MODULE_UTILS = PLUGINS / "module_utils"
RUNTIME = MODULE_UTILS / "podrt"  # its launch.py is a script, outside of any package
GLUE = MODULE_UTILS / "_glue"

LONGEST_FILE = 500
LARGEST_PAYLOAD = 1200
CARRIES_THE_RUNTIME = "pod_runtime.py"
# The one home of each library; no other module may even name it.
HOMES = {
    "pyroute2": "",
    "requests": "image/transport.py",
    "urllib3": "image/transport.py",
    "gnupg": "image/keystore.py",
    "pyseccomp": "seccomp/filters.py",
    "ctypes": "host/syscalls.py",
    "subprocess": "host/programs.py",
    "ansible": "",
    "ansible_collections": "",
}


def files_below(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def name_of(path: pathlib.Path) -> str:
    return str(path.relative_to(PLUGINS))


def imports_of(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """(level, module) of every import, also those in functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""


ALL = files_below(PLUGINS)
IN_RUNTIME = files_below(RUNTIME)
MODULES = sorted((PLUGINS / "modules").glob("*.py"))


@pytest.mark.parametrize("path", [p for p in ALL if p.name == "__init__.py"], ids=name_of)
def test_an_init_file_is_empty(path: pathlib.Path) -> None:
    assert path.read_text().strip() == ""


@pytest.mark.parametrize("folder", sorted({p.parent for p in files_below(MODULE_UTILS)}), ids=name_of)
def test_a_folder_of_code_is_a_package(folder: pathlib.Path) -> None:
    assert (folder / "__init__.py").exists() or folder == MODULE_UTILS


@pytest.mark.parametrize("path", [p for p in ALL if p != RUNTIME / "seccomp" / "sets.py"], ids=name_of)
def test_a_file_is_not_too_long(path: pathlib.Path) -> None:
    if path == RUNTIME / "host" / "syscalls.py" or path.parent.name in ("modules", "doc_fragments"):
        return  # a list of wrappers; documentation
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_nothing_is_asserted_outside_tests(path: pathlib.Path) -> None:
    nodes = ast.walk(ast.parse(path.read_text()))
    assert [node.lineno for node in nodes if isinstance(node, ast.Assert)] == []


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_no_variable_is_called_underscore(path: pathlib.Path) -> None:
    """ansible-test reserves that name for gettext; name the unused value: _rest, _index."""
    names = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name))
    assert [node.lineno for node in names if node.id == "_"] == []


@pytest.mark.parametrize("path", [p for p in IN_RUNTIME if p != RUNTIME / "launch.py"], ids=name_of)
def test_the_runtime_imports_itself_only_relatively(path: pathlib.Path) -> None:
    assert [
        module for level, module in imports_of(path) if (level, module.split(".")[0]) == (0, "podrt")
    ] == []


@pytest.mark.parametrize("path", IN_RUNTIME, ids=name_of)
def test_a_library_is_named_only_in_its_home(path: pathlib.Path) -> None:
    here = str(path.relative_to(RUNTIME))
    named = {module.split(".")[0] for level, module in imports_of(path) if level == 0}
    assert {library for library in named & HOMES.keys() if HOMES[library] != here} == set()


def shipped_with(path: pathlib.Path) -> set[pathlib.Path]:
    """The files that Ansible sends for a module: its own, and all that it imports, at any place."""
    found: set[pathlib.Path] = set()
    waiting = [path]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        found.add(current)
        for node in ast.walk(ast.parse(current.read_text())):
            if isinstance(node, ast.ImportFrom):
                waiting += resolved(current, node)
    return found


def resolved(path: pathlib.Path, node: ast.ImportFrom) -> list[pathlib.Path]:
    """The files of a `from X import Y, Z`, with the packages that hold them; none for foreign ones."""
    words = (node.module or "").split(".") if node.module else []
    if node.level:
        folder = path.parents[node.level - 1]
    elif words[:3] == ["ansible_collections", "stagecraft", "pods"]:
        folder, words = CHECKOUT, words[3:]
    else:
        return []
    base = folder.joinpath(*words)
    candidates = [base.with_suffix(".py"), base / "__init__.py"]
    for alias in node.names:
        candidates += [base / f"{alias.name}.py", base / alias.name / "__init__.py"]
    parents = [parent / "__init__.py" for parent in base.parents if MODULE_UTILS in parent.parents]
    return [candidate for candidate in candidates + parents if candidate.is_file()]


@pytest.mark.parametrize("path", [p for p in MODULES if p.name != CARRIES_THE_RUNTIME], ids=name_of)
def test_a_module_carries_little(path: pathlib.Path) -> None:
    shipped = shipped_with(path)
    assert [name_of(p) for p in shipped if RUNTIME in p.parents] == []
    assert sum(len(p.read_text().splitlines()) for p in shipped) <= LARGEST_PAYLOAD


def test_there_are_files_to_judge() -> None:
    assert len(IN_RUNTIME) > 20
    assert (GLUE / "__init__.py") in ALL


def test_a_class_has_a_name_of_its_own() -> None:
    """Across the runtime, so that a name means one thing wherever it is read."""
    where: dict[str, list[str]] = {}
    for path in IN_RUNTIME:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                where.setdefault(node.name.lstrip("_"), []).append(str(path.relative_to(RUNTIME)))
    assert {name: paths for name, paths in where.items() if len(paths) > 1} == {}


# Modules that open files themselves, and why they need no host/reading.py: fragment of the call -> reason.
READS_BY_ITSELF = {
    "bundle.py": "the runtime's own files, while it is installed",
    "stage1/inside/program.py": "the runtime's own compiled files",
    "stage1/inside/enclosure.py": "links of the image in its own root, which are made again in another",
    "stage1/plan/roots.py": "beneath an app's root: openat2 with RESOLVE_IN_ROOT",
    "stage1/plan/filling.py": "a copy of an app's files by descriptors: nothing is followed",
    "stage1/starter/inputs.py": "processors, in /sys",
    "stage1/starter/wiring.py": "control groups",
    "pod/cgroups.py": "control groups",
    "net/takeover.py": "the target of a link is all that it says, in /run, which is root's",
    "pod/holders.py": "the target of a link is all that it says, in /run, which is root's",
    "seccomp/filters.py": "a file in memory of this process",
    "store/corrections.py": "names in directories of layers, which are the store's own",
    "store/checksum.py": "files of a tree by descriptors: nothing is followed",
    "store/overlay.py": "a copy of a tree by descriptors: nothing is followed",
    "store/walker.py": "an image's entries by descriptors: nothing is followed",
    "store/layered.py": "a file of a rendered tree, with links as an app would see them, and never waiting",
    "store/stream.py": "the archive that was named; what it must be is asked before",
}
OPENERS = {"open", "os.open", "posix.open", "os.readlink", "os.listdir", "os.scandir", "os.fdopen", "os.walk"}
# A call with one of these does not read a file: it writes, or opens a directory, or uses O_PATH.
NO_READING = (
    *("O_WRONLY", "O_CREAT", "O_PATH", "O_DIRECTORY"),
    *("_DIRECTORY", "_OPEN_DIR", "_SAVE", "_NEW_FILE", "'wb'", "closefd=False"),
)
OF_THE_KERNEL = ("'/proc'", "'/proc/", "'/dev/", "f'/proc/", "os.devnull")


def opens_of(path: pathlib.Path) -> Iterator[str]:
    """The calls in a file that may read content of others, as source text."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in OPENERS:
            call = ast.unparse(node)
            if not any(word in call for word in NO_READING) and not any(
                f"({word}" in call for word in OF_THE_KERNEL
            ):
                yield call


@pytest.mark.finding("attack-F3")
@pytest.mark.finding("attack-F17")
def test_files_that_others_could_have_written_are_read_by_one_reader() -> None:
    found = {
        str(path.relative_to(RUNTIME)): calls
        for path in IN_RUNTIME
        if path.parent.name != "host" and (calls := list(opens_of(path)))
    }
    assert {name: calls for name, calls in found.items() if name not in READS_BY_ITSELF} == {}
    assert set(READS_BY_ITSELF) - set(found) == set()


# Modules that are still privileged in an app's root, where a path, and each link in it, belongs to the image.
IN_AN_APPS_ROOT = ("app", "command", "handler", "interpreter", "rights")
HARMLESS_THERE = ('os.open("/proc/self/oom_score_adj"', 'os.open("/", os.O_PATH')


@pytest.mark.finding("attack4-F1")
def test_in_an_apps_root_no_file_is_opened_by_its_plain_path() -> None:
    found = [
        call
        for name in IN_AN_APPS_ROOT
        for node in ast.walk(ast.parse((RUNTIME / "stage1" / "inside" / f"{name}.py").read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in OPENERS
        if not (call := ast.unparse(node).replace("'", '"')).startswith(HARMLESS_THERE)
    ]
    assert found == ['open(plan_fd, "rb", buffering=0, closefd=False)'], "a descriptor, opened before"
