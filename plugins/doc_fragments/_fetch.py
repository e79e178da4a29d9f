# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the options in module_utils/_glue/options.py, FETCH."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of modules that fetch images."""

    DOCUMENTATION = r"""
options:
  pull:
    description:
      - When to fetch an image over the network.
      - V(new) fetches only if the image is not in the store.
      - V(update) checks whether there is a newer one, which costs a single request when there is not.
      - V(never) does not use the network, and fails if the image is not in the store.
    type: str
    choices: [never, new, update]
    default: new
  insecure_options:
    description:
      - The checks to skip. Nothing is trusted silently.
      - V(image) accepts images without a signature, which docker images never have.
      - V(tls) skips the check of certificates.
      - V(http) allows plain HTTP to hosts other than the loopback.
      - V(capabilities), V(paths) and V(seccomp) lift the respective restriction from the apps of a pod.
    type: list
    elements: str
    choices: [image, tls, http, capabilities, paths, seccomp]
    default: []
"""
