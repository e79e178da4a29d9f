# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules of a runtime compiled, while it is installed: each into its compiled file and all into the bundle.

What no code reads is left out, a sixth of what a start loads and a supervisor keeps in memory: docstrings, annotations
of functions, and what is for type checkers. Fields of values are annotations too, of classes.
"""

from __future__ import annotations
import __future__

import ast
import marshal
import os
from _frozen_importlib_external import MAGIC_NUMBER, cache_from_source

from .bundle import HEAD, bundle_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import CodeType

    from .bundle import Index

# The bytes before the code in a compiled file: these flags and a hash, which is not checked. Source: PEP 552.
_UNCHECKED_HASH = b"\1\0\0\0"
_HASH = 8


def write(root: str) -> None:
    """Compile the modules of a runtime.

    Raises OSError, and what compile raises: SyntaxError, ValueError.
    """
    index: Index = {}
    code: list[bytes] = []
    at = 0
    files = {_name_of(file): file for file in sorted(_sources(root))}
    for name, file in files.items():
        with open(f"{root}/{file}", "rb") as source:
            tree = stripped(source.read(), file)
        code.append(marshal.dumps(compiled(tree, file)))
        _write_compiled(f"{root}/{file}", code[-1])
        package = file.endswith("/__init__.py")
        needed = tuple(_imported(tree, name if package else name.rpartition(".")[0], files))
        index[name] = (file, package, at, len(code[-1]), needed)
        at += len(code[-1])
    head = marshal.dumps(index)
    with open(bundle_of(root), "wb") as bundle:
        bundle.write(b"".join((len(head).to_bytes(HEAD, "little"), head, *code)))


def stripped(source: bytes, file: str) -> ast.Module:
    """A module without what no code reads. Raises SyntaxError, ValueError."""
    tree: ast.Module = _Stripped().visit(ast.parse(source, file))
    return tree


def compiled(tree: ast.Module, file: str) -> CodeType:
    """The code of a module. Raises SyntaxError, ValueError."""
    flags = __future__.annotations.compiler_flag
    code: CodeType = compile(tree, file, "exec", flags, dont_inherit=True, optimize=2)
    return code


def _name_of(file: str) -> str:
    """The name of the module of a file."""
    return file[: -len(".py")].replace("/", ".").removesuffix(".__init__")


def _imported(tree: ast.Module, package: str, known: Mapping[str, str]) -> Iterator[str]:
    """The modules of the runtime that a module imports as soon as it is loaded, packages before what is in them."""
    found: dict[str, None] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.level:
            above = package.rsplit(".", node.level - 1)[0]
            place = f"{above}.{node.module}" if node.module else above
            for name in (place, *(f"{place}.{alias.name}" for alias in node.names)):
                parts = name.split(".")
                found.update(dict.fromkeys(".".join(parts[:count]) for count in range(1, len(parts) + 1)))
    return (name for name in found if name in known and not f"{package}.".startswith(f"{name}."))


class _Stripped(ast.NodeTransformer):
    """A module without annotations of functions, what is for type checkers, and its imports from the future."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        return self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return None if node.module == "__future__" else node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt] | None:
        self.generic_visit(node)
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node.orelse or None
        return node


def _write_compiled(source: str, code: bytes) -> None:
    """Write a compiled file that counts whatever becomes of its source, which never changes."""
    path = cache_from_source(source)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(b"".join((MAGIC_NUMBER, _UNCHECKED_HASH, bytes(_HASH), code)))


def _sources(root: str) -> Iterator[str]:
    """The files of the runtime's own modules, relative to its directory."""
    for directory, _directories, names in os.walk(f"{root}/podrt"):
        for name in names:
            if name.endswith(".py"):
                yield os.path.relpath(f"{directory}/{name}", root)
