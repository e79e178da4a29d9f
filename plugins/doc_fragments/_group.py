# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the options in module_utils/_glue/options.py, FETCH, where nothing is fetched."""

from __future__ import annotations


class ModuleDocFragment:
    """Options that a module takes so that they can be defaults of the action group."""

    DOCUMENTATION = r"""
options:
  pull:
    description:
      - Accepted so that it can be a default of the action group C(stagecraft.pods.pods). This module ignores it.
    version_added: 0.2.0
    type: str
    choices: [never, new, update]
    default: new
  insecure_options:
    description:
      - Accepted so that it can be a default of the action group C(stagecraft.pods.pods). This module ignores it.
    version_added: 0.2.0
    type: list
    elements: str
    choices: [image, tls, http, capabilities, paths, seccomp]
    default: []
"""
