# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers and names on the page about hardening are those of the code."""

from __future__ import annotations

import pathlib
import re

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.limits import MEMBERS, Limits
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.http_policy import MAX_REDIRECTS
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.limits import PIDS_OF_APP, PIDS_OF_POD

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "docsite" / "rst" / "hardening.rst"


def test_the_bounds_of_limits_d_are_all_there_with_their_defaults() -> None:
    table = PAGE.read_text().split("   * - Member\n", 1)[1].split(".. code-block", 1)[0]
    rows = re.findall(r"^   \* - ``(\w+)``\n     - (\d+)$", table, re.MULTILINE)
    assert rows == [(member, str(getattr(Limits(), field))) for field, member in MEMBERS.items()]


def test_other_numbers_are_those_of_the_code() -> None:
    text = " ".join(PAGE.read_text().split())
    assert f"At most {MAX_REDIRECTS} redirects are followed" in text
    assert f"an app has at most {PIDS_OF_APP} processes and threads at a time" in text
    assert f"all apps of a pod together {PIDS_OF_POD}" in text
