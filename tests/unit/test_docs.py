# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The documentation agrees with the code: examples, options, commands, paths, messages."""

from __future__ import annotations

import ast
import inspect
import json
import pathlib
import re
import shlex
import textwrap
from typing import Any

import pytest
import yaml

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt import errors
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.table import (
    COMMANDS,
    GLOBAL,
    find_command,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.dirs import PodDir, TreeDir
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import lifecycle

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
README = CHECKOUT / "README.md"
DEVEL = CHECKOUT / "docs" / "devel"
PAGES = sorted((CHECKOUT / "docs" / "docsite" / "rst").glob("*.rst"))
TEXTS = [README, CHECKOUT / "docs" / "compatibility.md", *sorted(DEVEL.glob("*.md")), *PAGES]
MODULES = sorted((CHECKOUT / "plugins" / "modules").glob("pod_*.py"))
RUNTIME = CHECKOUT / "plugins" / "module_utils" / "podrt"
COLLECTION = "stagecraft.pods."
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^( *)\.\. code-block:: (\w+)\n\n((?:\1 +\S.*\n|\s*\n)+)", re.MULTILINE)
Options = dict[str, dict[str, Any]]
# Messages that the code puts together from words, or that are the kernel's.
COMPOSED = {"user not found", "group not found", "is currently running", "is not an image: it has no manifest",
            "is not an image: it has no rootfs", "error looking up", "Unable to open",
            "no space left on device", "read-only file system"}  # fmt: skip


def blocks(path: pathlib.Path, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    text = path.read_text()
    if path.suffix == ".md":
        return [code for found, code in FENCE.findall(text) if found == language]
    found = BLOCK.findall(text + "\n")
    return [textwrap.dedent(code) for _other, spoken, code in found if spoken == language]


def constant(path: pathlib.Path, name: str) -> Any:
    """A text that a Python file assigns to a name, in the module or in its first class."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and [t.id for t in node.targets if isinstance(t, ast.Name)] == [name]:
            return yaml.safe_load(ast.literal_eval(node.value))
    raise KeyError(name)


def options_of(module: str) -> Options:
    """The documented options of a module, with those of its fragments."""
    documentation = constant(CHECKOUT / "plugins" / "modules" / f"{module}.py", "DOCUMENTATION")
    options: Options = dict(documentation.get("options", {}))
    for fragment in documentation["extends_documentation_fragment"]:
        name = fragment.split(".")[2]
        found = constant(CHECKOUT / "plugins" / "doc_fragments" / f"{name}.py", "DOCUMENTATION")
        options.update(found.get("options", {}))
    return options


def tasks_in(value: object) -> list[tuple[str, dict[str, Any]]]:
    """Every task of the collection in a play or a list of tasks, at any depth: pairs of module and arguments."""
    if isinstance(value, list):
        return [task for element in value for task in tasks_in(element)]
    if not isinstance(value, dict):
        return []
    own = [(key[len(COLLECTION) :], arguments or {}) for key, arguments in value.items() if is_module(key)]
    return own + [task for element in value.values() for task in tasks_in(element)]


def is_module(key: str) -> bool:
    return key.startswith(COLLECTION)


def complaints(arguments: dict[str, Any], options: Options, where: str) -> list[str]:
    """The errors of arguments, by the documentation."""
    found = [f"{where}.{name} is required" for name, option in options.items()
             if option.get("required") and name not in arguments]  # fmt: skip
    for name, value in arguments.items():
        place, option = f"{where}.{name}", options.get(name)
        if option is None:
            found.append(f"{place} does not exist")
            continue
        if "choices" in option and not templated(value):
            chosen = value if isinstance(value, list) else [value]
            found += [f"{place}: {word} is no choice" for word in chosen if word not in option["choices"]]
        if "suboptions" in option:
            for element in value if isinstance(value, list) else [value]:
                form = {"short": element} if isinstance(element, str) else element
                found += complaints(form, option["suboptions"], place)
    return found


def templated(value: object) -> bool:
    return isinstance(value, str) and "{{" in value


def examples() -> list[Any]:
    """Every YAML block of the pages and every EXAMPLES, as pytest parameters."""
    pages = [
        pytest.param(code, id=f"{path.name}-{number}")
        for path in (README, *PAGES)
        for number, code in enumerate(blocks(path, "yaml"))
    ]
    modules = [
        pytest.param(yaml.safe_dump(constant(path, "EXAMPLES")), id=path.name)
        for path in MODULES
    ]  # fmt: skip
    return pages + modules


def test_there_are_examples_on_the_pages_that_show_how() -> None:
    for path in (README, *(page for page in PAGES if page.stem in ("quickstart", "secrets", "fleets"))):
        assert blocks(path, "yaml"), path.name


@pytest.mark.parametrize("code", examples())
def test_examples_parse_and_their_options_exist(code: str) -> None:
    found = [
        complaints(arguments, options_of(module), module)
        for module, arguments in tasks_in(yaml.safe_load(code))
    ]
    assert [complaint for one in found for complaint in one] == []


@pytest.mark.parametrize("path", [README, *PAGES, *sorted(DEVEL.glob("*.md"))], ids=lambda path: path.name)
def test_json_parses(path: pathlib.Path) -> None:
    for code in blocks(path, "json"):
        json.loads(code)


def test_variables_of_the_site_playbook_take_what_the_modules_take() -> None:
    lists = {"pods": "pod_run", "pod_volumes": "pod_volume", "pod_images": "pod_image",
             "pod_networks": "pod_network"}  # fmt: skip
    codes = [yaml.safe_load(code) for path in (README, *PAGES) for code in blocks(path, "yaml")]
    found = [
        complaint
        for code in codes
        if isinstance(code, dict)
        for name, module in lists.items()
        for element in code.get(name, [])
        for complaint in complaints(element, options_of(module), name)
    ]
    assert found == []


def test_every_module_is_in_the_table_of_the_readme() -> None:
    rows = re.findall(r"^\| `(pod_\w+)` \|", README.read_text(), re.MULTILINE)
    assert sorted(rows) == [path.stem for path in MODULES]


# --- podctl ---


def podctl_lines() -> list[str]:
    """Every call of podctl in a shell block, joined where it is broken."""
    codes = "\n".join(code for path in (README, *PAGES) for code in blocks(path, "bash"))
    joined = re.sub(r"\\\n\s*", " ", codes)
    return [line.strip() for line in joined.splitlines() if re.match(r"\s*(bin/)?podctl ", line)]


def test_podctl_is_shown() -> None:
    assert len(podctl_lines()) > 10


@pytest.mark.parametrize("line", podctl_lines())
def test_commands_and_flags_of_podctl_exist(line: str) -> None:
    words = shlex.split(line.partition(" #")[0])[1:]
    command, count = find_command(words)
    assert command is not None
    assert command.name.split(" ") == words[:count], "examples spell commands out"
    known = {flag.name for flag in (*GLOBAL, *command.flags())}
    assert {flag for flag in flags_of(words[count:]) if flag not in known} == set()


def flags_of(words: list[str]) -> list[str]:
    """The names of flags, without those between -- and ---, which belong to the program that is run."""
    found, literal = [], False
    for word in words:
        if word in ("--", "---"):
            literal = word == "--"
        elif word.startswith("--") and not literal:
            found.append(word[2:].partition("=")[0])
    return found


def test_the_page_about_podctl_names_every_command() -> None:
    text = (CHECKOUT / "docs" / "docsite" / "rst" / "podctl.rst").read_text()
    named = set(re.findall(r"``podctl ([a-z-]+(?: [a-z-]+)?)", text))
    shown = {name for name in named for command in COMMANDS if command.name == name}
    assert {command.name for command in COMMANDS if not command.hidden} - shown == set()


# --- the format on disk ---


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of all tables whose first column has this heading."""
    found, inside = [], False
    for line in (DEVEL / page).read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif cells[0] == heading:
            inside = True
        elif inside and not set(line) <= set("|- "):
            found.append(cells)
    return found


# What parameters are called in the tables; the first digits of an image's ID are a directory.
PLACEHOLDERS = {"state_dir": "STATE", "pod_name": "NAME", "tree_id": "TREEID", "image_id": "sha512-XX"}


def place(owner: Paths | PodDir | TreeDir, name: str) -> tuple[str, ...]:
    """The paths that a property or a method returns, with its parameters as placeholders."""
    value = getattr(owner, name)
    given = list(inspect.signature(value).parameters) if callable(value) else []
    found = value(*(PLACEHOLDERS.get(word, word.upper()) for word in given)) if callable(value) else value
    if isinstance(found, (PodDir, TreeDir)):
        found = found.path
    found = found if isinstance(found, tuple) else (found,)
    return tuple(path.replace(PLACEHOLDERS["image_id"], "IMAGEID") for path in found)


@pytest.mark.parametrize(
    ("heading", "owner", "top"),
    [
        ("`Paths`", Paths(), "/var/lib/pods/"),
        ("`PodDir`", PodDir("/pod"), "/pod/"),
        ("`TreeDir`", TreeDir("/tree"), "/tree/"),
    ],
    ids=["Paths", "PodDir", "TreeDir"],
)
def test_paths_on_disk_are_those_of_the_code(heading: str, owner: Paths | PodDir | TreeDir, top: str) -> None:
    shown = {}
    for cells in rows("on-disk-format.md", heading):
        shown[cells[0].strip("`")] = re.findall(r"`([^`]+)`", cells[1])
    names = {name for name in vars(type(owner)) if not name.startswith("_")}
    assert set(shown) - names - set(type(owner).__annotations__) == set()
    assert names - set(shown) - {"data", "path", "user_config"} == set()
    for name, paths in shown.items():
        if name not in ("config_dirs", "user_config"):
            wanted = tuple(path.removeprefix(top) for path in place(owner, name))
            assert tuple(path.rstrip("/") for path in paths) == wanted, name


def test_the_table_of_states_is_that_of_the_code() -> None:
    shown = {}
    for cells in rows("pod-lifecycle.md", "directory"):
        shown[cells[0].strip("`"), False] = cells[1]
        shown[cells[0].strip("`"), True] = cells[2].partition(",")[0]
    assert shown == {key: state.value for key, state in lifecycle._STATES.items()}


# --- errors ---


def test_every_family_of_errors_is_explained() -> None:
    kinds = {
        family.kind for family in errors.PodError.__subclasses__() if family.__module__ == errors.__name__
    }
    listed = {cells[1].strip("`") for cells in rows("errors.md", "family")}
    assert listed == kinds
    troubleshooting = (CHECKOUT / "docs" / "docsite" / "rst" / "troubleshooting.rst").read_text()
    assert {kind for kind in kinds if f"``{kind}``" not in troubleshooting} == set()


def messages() -> list[str]:
    """The messages that the page on troubleshooting explains."""
    lines = (CHECKOUT / "docs" / "docsite" / "rst" / "troubleshooting.rst").read_text().splitlines()
    terms = [
        line for line, after in zip(lines, lines[1:]) if line.startswith("``") and after.startswith("    ")
    ]
    return [message for term in terms for message in re.findall(r"``(.+?)``", term)]


def code_text() -> str:
    """All code, with texts that are written in pieces joined."""
    files = [*sorted((CHECKOUT / "plugins").rglob("*.py"))]
    text = "\n".join(path.read_text() for path in files)
    return re.sub(r"(['\"])\s*\n\s*f?(['\"])", "", text).replace('\\"', '"').replace("\\'", "'")


def test_messages_that_are_explained_exist() -> None:
    text = code_text()
    assert len(messages()) > 60
    pieces = {piece.strip(' ":') for message in messages() for piece in message.split("...")}
    missing = sorted(piece for piece in pieces - COMPOSED if len(piece) > 3 and piece not in text)
    assert missing == []


# Mistakes in tasks and command lines: such a message names its field, and its hint is the cure.
EXPLAIN_THEMSELVES = {"InvalidSpec"}
# Messages that the page shows with their usual words filled in, and those that only a bug could raise.
FILLED_IN = {
    'pod "..." is ...',
    '"..." ... not found',
    "... is not an image: it has no ...",
    "Failed to stat ...: ...",
    "... was killed: ...",
    "cannot verify ...: ...",
}
BUGS = {'"..." is not the ID of a tree'}


def families() -> set[str]:
    """The names of the classes of errors whose messages are to be explained."""
    found = {"NotFound", "Conflict", "Untrusted", "Unreachable", "Unsupported", "Corrupt", "HostFailure"}
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for path in RUNTIME.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }
    while True:
        more = {
            name for name, above in bases.items() if above & found and not above & EXPLAIN_THEMSELVES
        } - found
        if not more:
            return found
        found |= more


def literal(node: ast.expr) -> str:
    """A text with its placeholders as "...", empty for a node that is not a text."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) if isinstance(part, ast.Constant) else "..." for part in node.values)
    return ""


def told() -> set[str]:
    """The messages of errors that users can act on, without those explained by the kernel's reason."""
    names = families()
    return {
        literal(node.args[0])
        for path in RUNTIME.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in names
        and node.args
    } - {""}


def test_messages_that_users_can_meet_are_explained() -> None:
    explained = [re.compile(".*".join(map(re.escape, message.split("...")))) for message in messages()]
    missing = {
        text for text in told() - FILLED_IN - BUGS if not any(pattern.search(text) for pattern in explained)
    }
    assert missing == set()


# --- the pages themselves ---


def test_targets_of_make_exist() -> None:
    makefile = (CHECKOUT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.MULTILINE))
    calls = "\n".join(re.sub(r"^\.\..*", "", path.read_text()) for path in TEXTS)
    named = set(re.findall(r"(?:`|^)make ([a-z][a-z0-9-]*)", calls, re.MULTILINE))
    assert named - targets == set()
    assert {"demo", "check", "test", "docs"} <= named


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_pages_are_finished_and_true_on_every_machine(path: pathlib.Path) -> None:
    text = path.read_text()
    assert "TODO" not in text
    assert f"{CHECKOUT}/" not in text


@pytest.mark.parametrize("path", [p for p in TEXTS if p.suffix == ".md"], ids=lambda path: path.name)
def test_links_lead_somewhere(path: pathlib.Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", path.read_text())
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", [p for p in TEXTS if p.suffix == ".md"], ids=lambda path: path.name)
def test_files_that_pages_name_exist(path: pathlib.Path) -> None:
    packages = "|".join(sorted(entry.name for entry in RUNTIME.iterdir() if entry.is_dir()))
    named = re.findall(rf"`(?:podrt/)?((?:{packages})/\w+\.py)`", path.read_text())
    assert [name for name in named if not (RUNTIME / name).exists()] == []
    others = re.findall(
        r"`((?:plugins|tests|benchmarks|roles|docs|playbooks|requirements)/[\w./-]+\.\w+)`", path.read_text()
    )
    assert [name for name in others if not (CHECKOUT / name).exists()] == []
