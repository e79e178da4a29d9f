# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Every behaviour that tests cite is promised."""

from __future__ import annotations

import pathlib

from ansible_collections.stagecraft.pods.tests.pipeline import behaviours

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]


def test_every_cited_behaviour_is_promised() -> None:
    promised = set(behaviours.promised((CHECKOUT / "docs" / "compatibility.md").read_text()))
    unknown = {one: files for one, files in behaviours.cited(CHECKOUT).items() if one not in promised}
    assert unknown == {}


# Decided against.
WITHOUT_A_KERNEL = {"C36", "C48"}


def test_what_a_command_line_an_app_a_pod_and_its_networks_do_is_proved_on_a_kernel() -> None:
    cited = behaviours.cited(CHECKOUT)
    promised = behaviours.promised((CHECKOUT / "docs" / "compatibility.md").read_text())
    here = {one for one in promised if one[0] in "ACDEFG"}
    unproved = {
        one for one in here if not any(file.startswith("tests/integration/") for file in cited.get(one, ()))
    }
    assert unproved == WITHOUT_A_KERNEL


def test_no_behaviour_is_promised_twice() -> None:
    promised = behaviours.promised((CHECKOUT / "docs" / "compatibility.md").read_text())
    assert sorted(promised) == sorted(set(promised))


def test_a_citation_is_found_in_python_and_in_yaml(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    mark = "@pytest.mark." + 'behaviour("X1", "X2")\ndef test_x(): pass\n'
    (folder / "test_x.py").write_text(mark)
    (folder / "main.yml").write_text("# " + "behaviour: X2, X3\n- name: x\n")
    assert behaviours.cited(tmp_path) == {
        "X1": ["tests/test_x.py"],
        "X2": ["tests/main.yml", "tests/test_x.py"],
        "X3": ["tests/main.yml"],
    }
