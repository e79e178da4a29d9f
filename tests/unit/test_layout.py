# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The rules of docs/devel/architecture.md that no linter knows: sizes, payloads, a home for each library."""

from __future__ import annotations

import ast
import collections
import pathlib
import re
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
# The homes of each library, most often one; no other module may even name it.
HOMES = {
    "pyroute2": "",
    "requests": "image/transport.py",
    "urllib3": "image/transport.py",
    "gnupg": "image/signature.py image/signing.py",
    "pyseccomp": "seccomp/filters.py",
    "ctypes": "host/clibrary.py host/libcrypto.py",
    "_ctypes": "host/clibrary.py stage1/pid1/idle.py",
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
    assert {library for library in named & HOMES.keys() if here not in HOMES[library].split()} == set()


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
    "bundle.py": "the runtime's own file of compiled modules",
    "compiling.py": "the runtime's own files, while it is installed",
    "stage1/inside/program.py": "the runtime's own compiled files",
    "stage1/inside/enclosure.py": "links of the image in its own root, which are made again in another",
    "stage1/plan/mounts.py": "names of devices, in /dev, which is root's",
    "stage1/plan/roots.py": "beneath an app's root: openat2 with RESOLVE_IN_ROOT",
    "stage1/plan/first_use.py": "names in directories by descriptors: nothing is followed",
    "stage1/plan/filling.py": "a copy of an app's files by descriptors: nothing is followed",
    "stage1/plan/shifting.py": "an image's entries by descriptors: nothing is followed",
    "stage0/copies/packed.py": "files by descriptors: nothing is followed, and only regular ones are read",
    "stage0/copies/unpacked.py": "files by descriptors: nothing is followed on the host, nor out of an app's root",
    "cli/commands/copy.py": "the paths that the user names on the host; in an app, RESOLVE_IN_ROOT",
    "stage1/opened.py": "the root of an app in a pod's directory",
    "stage1/starter/attachable.py": "a pipe that was just made in a pod's directory",
    "stage1/pid1/idle.py": "its own memory, in the proc of its pod",
    "stage1/starter/inputs.py": "processors, in /sys",
    "stage1/starter/wiring.py": "control groups",
    "pod/cgroups.py": "control groups",
    "net/rarelinks.py": "network namespaces, by paths in /proc that stage1 makes",
    "net/takeover.py": "the target of a link is all that it says, in /run, which is root's",
    "pod/holders.py": "the target of a link is all that it says, in /run, which is root's",
    "seccomp/filters.py": "a file in memory of this process",
    "image/build/repacked.py": "names and links of layers, which are the store's own",
    "image/build/walked.py": "names and links of the directories that a task names",
    "store/corrections.py": "names in directories of layers, which are the store's own",
    "store/checksum.py": "files of a tree by descriptors: nothing is followed",
    "store/overlay.py": "a copy of a tree by descriptors: nothing is followed",
    "store/walker.py": "an image's entries by descriptors: nothing is followed",
    "store/partial.py": "what this store keeps of a download, to be read and written, in a directory of root's",
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
IN_AN_APPS_ROOT = ("app", "command", "handler", "interpreter", "rights", "setters")
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


def test_podctl_of_a_checkout_starts_two_programs_before_the_interpreter() -> None:
    """Each takes 1 ms, at every start that a test of podctl makes."""
    script = (CHECKOUT / "bin" / "podctl").read_text()
    assert script.count("$(readlink -f") == script.count("$(") - script.count("$(command -v") == 2


# Where paths are put together, and what else has names of its own beside those of a host: file -> reason.
PATHS = ("host/paths.py", "host/dirs.py")
NAMES_OF_ITS_OWN = {
    "net/rarelinks.py": "the interfaces of a device in /sys",
    "store/workspace.py": "what a workspace holds until it is moved",
    "bundle.py": "the runtime's own file of compiled modules",
    "compiling.py": "the runtime's own files, while it is installed",
    "errors.py": "how a data directory is told from others, wherever it is",
    "stage1/inside/program.py": "the runtime's own files, where nothing of it is imported",
}
# What else begins so is of the kernel, or of a URL.
ELSEWHERE = ("/proc", "/sys", "net/", "{scheme}")


def pieces_of(path: pathlib.Path) -> Iterator[tuple[str, str, str]]:
    """(all of it, what comes before, a literal such as "/rootfs/") of every text that is put together as a path."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            for before, piece in zip(node.values, node.values[1:]):
                if isinstance(piece, ast.Constant) and isinstance(before, ast.FormattedValue):
                    yield ast.unparse(node)[2:-1], ast.unparse(before.value), str(piece.value)
        elif (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Add)
            and isinstance(node.right, ast.Constant)
        ):
            yield ast.unparse(node), ast.unparse(node.left), str(node.right.value)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "os.path.join":
            for before, piece in zip(node.args, node.args[1:]):
                if isinstance(piece, ast.Constant):
                    yield ast.unparse(node), ast.unparse(before), f"/{piece.value}"


def components(literal: str) -> set[str]:
    return (
        {name for name in literal.split("/")[1:] if name.strip("._-")} if literal.startswith("/") else set()
    )


PLACES = {  # of Paths, PodDir and TreeDir: their properties, and the names of files that these are made of
    node.name
    for name in PATHS
    for node in ast.walk(ast.parse((RUNTIME / name).read_text()))
    if isinstance(node, ast.FunctionDef)
} | {"data", "local_config", "system_config", "run", "leases", "units", "path"}
NAMES = {
    name
    for path in PATHS
    for _all, _before, literal in pieces_of(RUNTIME / path)
    for name in components(literal)
}


def put_together_in(path: pathlib.Path) -> list[str]:
    """Paths that a file makes by itself: a literal after a place, or a name that Paths knows after anything."""
    return [
        text
        for text, before, literal in pieces_of(path)
        if not text.startswith(ELSEWHERE)
        if (components(literal) and re.split(r"[.(]", before.split("(")[0])[-1] in PLACES)
        or components(literal) & NAMES
    ]


def test_every_path_is_one_of_paths() -> None:
    assert {"rootfs", "cas", "appsinfo", "prefill", "fingerprint.key"} <= NAMES
    found = {
        name: texts
        for path in IN_RUNTIME
        if (name := str(path.relative_to(RUNTIME))) not in PATHS and (texts := put_together_in(path))
    }
    assert {name: texts for name, texts in found.items() if name not in NAMES_OF_ITS_OWN} == {}
    assert set(NAMES_OF_ITS_OWN) - set(found) == set()


# Who may look into the namespace of a thing: what makes values and modules. A format is written by named fields, or by
# the order of _fields (Value.row): vars has the order of the call that made the value.
NAMESPACES = {
    *("value.py", "stage0/options/option.py"),
    *("bundle.py", "stage1/inside/program.py", "stage1/pid1/load.py"),
}


def test_no_format_is_what_vars_says() -> None:
    found = {
        str(path.relative_to(RUNTIME))
        for path in IN_RUNTIME
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Call) and ast.unparse(node.func) == "vars")
        or (isinstance(node, ast.Attribute) and node.attr == "__dict__")
    }
    assert found == NAMESPACES


# Where a type may be object, and why: reason -> files.
OBJECTS = {
    "JSON: what a document, an option or a server may hold, before it is read, or as it is written": {
        "appc/app.py",
        "appc/confinement.py",
        "appc/image.py",
        "appc/isolators.py",
        "appc/pod.py",
        "appc/ports.py",
        "appc/resources.py",
        "appc/volumes.py",
        "cli/call.py",
        "cli/commands/about.py",
        "cli/commands/images.py",
        "cli/grammar.py",
        "cli/output.py",
        "errors.py",
        "fields.py",
        "host/authfiles.py",
        "image/build/oci.py",
        "image/build/shelved.py",
        "image/convert.py",
        "image/cosign.py",
        "image/manifests.py",
        "image/oddities.py",
        "image/policies.py",
        "image/simplesigning.py",
        "jsontext.py",
        "mds/registration.py",
        "net/drivers/external.py",
        "net/flannel.py",
        "net/info.py",
        "net/ipam.py",
        "net/result.py",
        "net/rules.py",
        "pod/documents.py",
        "pod/failure.py",
        "pod/runspec.py",
        "seccomp/profiles.py",
        "stage0/described.py",
        "stage0/network_members.py",
        "stage0/network_spec.py",
        "stage0/networks.py",
        "stage0/options/documents.py",
        "stage0/options/option.py",
        "stage0/options/parsers.py",
        "stage0/options/reading.py",
        "stage0/options/short.py",
        "stage0/options/texts.py",
        "stage0/status.py",
        "store/blobs.py",
        "store/index.py",
        "tasks/collect.py",
        "tasks/image_info.py",
        "tasks/image_build.py",
        "tasks/info.py",
        "tasks/login.py",
        "tasks/metadata.py",
        "tasks/networks.py",
        "tasks/results.py",
        "tasks/run.py",
        "tasks/policies.py",
        "tasks/sent.py",
        "tasks/trust.py",
    },
    "fields of any type: Value is the type of them all": {
        "value.py",
    },
    "what a function returns that is called for what it does or refuses": {
        "cli/flags.py",
        "cli/podflags.py",
        "cli/table.py",
        "stage1/inside/app.py",
        "stage1/pid1/apps.py",
        "stage1/pid1/watch.py",
    },
    "a protocol of Python hands it over, and nothing looks at it: __exit__, signals, finders of modules": {
        "bundle.py",
        "host/workers.py",
        "image/relay.py",
        "mds/service.py",
        "pod/lifecycle.py",
        "stage1/starter/first_process.py",
        "stage1/starter/orders.py",
        "store/extract.py",
        "store/overlay.py",
        "store/partial.py",
        "store/walker.py",
        "store/workspace.py",
    },
    "arguments that are handed on to a library as they are": {
        "image/transport.py",
        "seccomp/filters.py",
    },
}


def test_no_type_that_is_known_is_erased() -> None:
    allowed = {name for files in OBJECTS.values() for name in files}
    found = {
        str(path.relative_to(RUNTIME))
        for path in IN_RUNTIME
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name) and node.id == "object"
    }
    assert found - allowed == set(), "name the type, a Protocol or a union; object is for any JSON value"
    assert allowed - found == set()


def test_nothing_is_asked_of_what_is_an_object_by_its_type() -> None:
    """An object as a parameter is a value of JSON, which has no attributes: getattr is for a type that is known."""
    found = []
    for path in IN_RUNTIME:
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            given = [*function.args.args, *function.args.kwonlyargs]
            objects = {arg.arg for arg in given if arg.annotation and ast.unparse(arg.annotation) == "object"}
            found += [
                f"{path.name}:{node.lineno}"
                for node in ast.walk(function)
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr"
                if isinstance(node.args[0], ast.Name) and node.args[0].id in objects
            ]
    assert found == []


# Names that no code calls by name, but Python, or a program that is the text of an argument.
ENTRIES = {"main", "__all__", "_BUILT_IN"}
# Names of parts of issue 10 that fetching does not call yet.
TO_BE_JOINED: set[str] = set()


def names_of(statement: ast.stmt) -> list[str]:
    """What a statement of a module defines."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    targets = [statement.target] if isinstance(statement, ast.AnnAssign) else targets
    return [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]


def loads_of(tree: ast.AST) -> collections.Counter[str]:
    return collections.Counter(
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    )


def test_every_name_of_a_module_is_used() -> None:
    """By itself, but for its own body, by name elsewhere, as an attribute, or as a text where a table names it."""
    trees = {path: ast.parse(path.read_text()) for path in ALL}
    elsewhere: set[str] = set()
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                elsewhere.update(alias.name for alias in node.names)
            elif isinstance(node, ast.Attribute):
                elsewhere.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                elsewhere.add(node.value)
    unused = []
    for path in (*IN_RUNTIME, *files_below(GLUE)):
        here = loads_of(trees[path])
        for statement in trees[path].body:
            own = loads_of(statement) if isinstance(statement, (ast.FunctionDef, ast.ClassDef)) else {}
            unused += [
                f"{name_of(path)}: {name}"
                for name in names_of(statement)
                if name not in elsewhere | ENTRIES and here[name] <= own.get(name, 0)
            ]
    assert [name for name in unused if name.split(": ")[1] not in TO_BE_JOINED] == []
    assert sorted(name.split(": ")[1] for name in unused) == sorted(TO_BE_JOINED)
