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
      - When to ask the network for an image.
      - V(new) asks only if the image is not in the store.
      - V(update) asks whether there is a newer one, which costs a single request when there is not.
      - V(never) never asks, and fails if the image is not in the store.
    type: str
    choices: [never, new, update]
    default: new
  insecure_options:
    description:
      - What to let through unchecked. Nothing is trusted silently.
      - V(image) accepts images without a signature, which docker images never have.
      - V(tls) does not check certificates.
      - V(http) talks plain HTTP to other hosts than the loopback.
      - V(capabilities), V(paths) and V(seccomp) lift these restrictions from the apps of a pod.
    type: list
    elements: str
    choices: [image, tls, http, capabilities, paths, seccomp]
    default: []
"""
