#!/usr/bin/python

# Copyright (c) 2026 the stagecraft.pods authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_gc
short_description: Collect what is left of pods, and images that nothing needs
version_added: 0.1.0
author:
  - the stagecraft.pods authors (@stagecraft)
description:
  - Removes pods that have ended, failed preparations, prepared pods that nobody has started, and, if asked, images, rendered
    trees and layers that no pod needs.
  - Pods that a name means are part of what you want, and stay.
  - In check mode it tells exactly what it would remove, and how many bytes that would free.
extends_documentation_fragment:
  - stagecraft.pods._attributes
  - stagecraft.pods._host
  - stagecraft.pods._group
options:
  grace_period:
    description:
      - How many seconds a pod is kept after it was found to have ended.
    type: int
    default: 1800
  expire_prepared:
    description:
      - How many seconds a prepared pod without a name is kept.
    type: int
    default: 86400
  images:
    description:
      - Whether to remove images that no pod uses as well, with their trees and layers.
    type: bool
    default: false
  image_grace_period:
    description:
      - How many seconds an unused image is kept after its last use.
    type: int
    default: 86400
seealso:
  - module: stagecraft.pods.pod_info
"""

EXAMPLES = r"""
- name: Remove what has ended more than half an hour ago
  stagecraft.pods.pod_gc:

- name: Remove everything that nothing needs, now
  stagecraft.pods.pod_gc:
    grace_period: 0
    expire_prepared: 0
    images: true
    image_grace_period: 0
"""

RETURN = r"""
pods:
  description: The UUIDs of the pods that were removed, or would be.
  returned: success
  type: list
  elements: str
images:
  description: The IDs of the images that were removed, or would be.
  returned: success
  type: list
  elements: str
bytes:
  description: How many bytes that freed, or would free.
  returned: success
  type: int
changes:
  description:
    - Everything that was changed, or that would be in check mode. It is empty if and only if C(changed) is false.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description:
        - What was changed, a pod or with O(images) something in the store, such as C(pods.UUID), C(trees.ID),
          C(images.ID), C(layers.NAME) or C(leftovers.PATH).
      type: str
    before:
      description: What it was; of what was freed in the store, its bytes. Values that may be secret are fingerprints.
      type: str
    after:
      description: What it becomes.
      type: str
    reason:
      description: Who wants the change, one of V(playbook), V(image), V(drift) and V(runtime).
      type: str
    impact:
      description: What it means to what runs, one of V(none), V(live), V(restart) and V(recreate).
      type: str
error:
  description: The kind of an error, such as V(not-found) or V(invalid-spec).
  returned: failure
  type: str
hint:
  description: What to do about an error, empty when nobody knows.
  returned: failure
  type: str
facts:
  description:
    - What an error is about, for programs. What is in it depends on the error.
    - C(where) is the option that is wrong, C(path) and C(errno) what the operating system has refused.
  returned: failure
  type: dict
  sample:
    where: data_dir
"""

from ansible_collections.stagecraft.pods.plugins.module_utils._glue.module import run_module
from ansible_collections.stagecraft.pods.plugins.module_utils._glue.options import FETCH, HOST


def main() -> None:
    run_module(
        "pod_gc",
        {
            "grace_period": {"type": "int", "default": 1800},
            "expire_prepared": {"type": "int", "default": 86400},
            "images": {"type": "bool", "default": False},
            "image_grace_period": {"type": "int", "default": 86400},
            **FETCH,
            **HOST,
        },
    )


if __name__ == "__main__":
    main()
