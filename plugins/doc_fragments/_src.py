# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of what the action plugin tells pod_image about a file of the controller."""

from __future__ import annotations


class ModuleDocFragment:
    """The option that goes with src."""

    DOCUMENTATION = r"""
options:
  src_file:
    description:
      - What the collection tells the host about O(src).
      - There is no need to set it.
    version_added: 0.5.0
    type: dict
"""
