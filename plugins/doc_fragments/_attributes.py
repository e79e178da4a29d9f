# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes that the modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in check mode and tell what would change, without changing anything.
    support: full
  diff_mode:
    description: Tells in diff mode what was and what becomes; values that may be secret are shown as fingerprints.
    support: full
  idempotent:
    description: Run again with the same options, it changes nothing.
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
    description: Can run in check mode, where it does what it always does, since it changes nothing.
    support: full
  diff_mode:
    description: There is nothing to tell in diff mode, since it changes nothing.
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
