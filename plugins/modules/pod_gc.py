#!/usr/bin/python

# Copyright (c) 2026 the stagecraft.pods authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_gc
short_description: Collect ended pods, and images that nothing needs
version_added: 0.1.0
author:
  - the stagecraft.pods authors (@stagecraft)
description:
  - Removes pods that have ended, failed preparations, prepared pods that were never started, and, if asked, images,
    rendered trees and layers that no pod needs.
  - The current pod of a name is part of the desired state, and is kept.
  - Programs of networks with CNI 1.1.0 are asked to forget what is not attached any more.
  - In check mode it reports exactly what it would remove, and how many bytes that would free.
extends_documentation_fragment:
  - stagecraft.pods._attributes
  - stagecraft.pods._host
  - stagecraft.pods._group
options:
  grace_period:
    description:
      - How many seconds a pod is kept after garbage collection first sees it ended.
    type: int
    default: 1800
  expire_prepared:
    description:
      - How many seconds a prepared pod without a name is kept.
    type: int
    default: 86400
  images:
    description:
      - Whether to also remove images that no pod uses, with their trees and layers.
    type: bool
    default: false
  image_grace_period:
    description:
      - How many seconds an unused image is kept after its last use.
    type: int
    default: 86400
  max_images:
    description:
      - With O(images), how many images may stay. Those that were used longest ago go first, whatever
        O(image_grace_period) is.
      - Images that a pod needs, that are pinned, or that one of these depends on, stay in any case.
    type: int
    version_added: 0.5.0
  max_bytes:
    description:
      - With O(images), the bytes that images may occupy together, such as V(10g), in the same way as O(max_images). Layers
        that images share count once.
    type: str
    version_added: 0.5.0
seealso:
  - module: stagecraft.pods.pod_info
  - module: stagecraft.pods.pod_image
"""

EXAMPLES = r"""
- name: Remove pods that ended more than half an hour ago
  stagecraft.pods.pod_gc:

- name: Keep the store below 20 GB as far as pods and pins let it
  stagecraft.pods.pod_gc:
    images: true
    max_bytes: 20g

- name: Remove everything that is not needed, without a grace period
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
  description: The bytes that were freed, or would be.
  returned: success
  type: int
changes:
  description:
    - All changes that were made, or would be in check mode. It is empty if and only if C(changed) is false.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description:
        - What was changed, a pod or, with O(images), something in the store, such as C(pods.UUID), C(trees.ID),
          C(images.ID), C(layers.NAME) or C(leftovers.PATH).
      type: str
    before:
      description: The value before; in the store, the bytes freed. Values that may be secret are fingerprints.
      type: str
    after:
      description: The value after.
      type: str
    reason:
      description: The source of the change, one of V(playbook), V(image), V(drift) and V(runtime).
      type: str
    impact:
      description: The effect on running pods, one of V(none), V(live), V(restart) and V(recreate).
      type: str
error:
  description: The kind of an error, such as V(not-found) or V(invalid-spec).
  returned: failure
  type: str
hint:
  description: What to do about the error, empty when unknown.
  returned: failure
  type: str
facts:
  description:
    - Details of the error, for programs. Its members depend on the error.
    - C(where) is the invalid option, C(path) and C(errno) are those of a system call that failed.
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
            "max_images": {"type": "int"},
            "max_bytes": {"type": "str"},
            **FETCH,
            **HOST,
        },
    )


if __name__ == "__main__":
    main()
