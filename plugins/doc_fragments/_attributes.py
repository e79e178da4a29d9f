# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes that the modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in check mode and report what would change, without changing anything.
    support: full
  diff_mode:
    description: Shows the values before and after in diff mode; values that may be secret are shown as fingerprints.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
  platform:
    description: The operating system of the host.
    platforms: linux
    support: full
  action_group:
    description: Use C(group/stagecraft.pods.pods) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - stagecraft.pods.pods
"""

    INFO = r"""
attributes:
  check_mode:
    description: Runs in check mode as always, since it changes nothing.
    support: full
  diff_mode:
    description: Has nothing to show in diff mode, since it changes nothing.
    support: N/A
  idempotent:
    description: Changes nothing.
    support: full
  platform:
    description: The operating system of the host.
    platforms: linux
    support: full
  action_group:
    description: Use C(group/stagecraft.pods.pods) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - stagecraft.pods.pods
"""
