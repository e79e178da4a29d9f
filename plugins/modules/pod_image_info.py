#!/usr/bin/python

# Copyright (c) 2026 the stagecraft.pods authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_image_info
short_description: Tell where the images of a host come from and who signed them
version_added: 0.5.0
author:
  - the stagecraft.pods authors (@stagecraft)
description:
  - Returns the images in the store of a host, with their sources, their signers and their manifests. Changes nothing and
    asks no server.
extends_documentation_fragment:
  - stagecraft.pods._attributes.info
  - stagecraft.pods._host
  - stagecraft.pods._group
options:
  name:
    description:
      - Return only these images, each named by what M(stagecraft.pods.pod_image) takes.
      - Those that are not in the store are left out, and so is one that cannot be read.
    type: list
    elements: str
notes:
  - The module needs root.
seealso:
  - module: stagecraft.pods.pod_image
  - module: stagecraft.pods.pod_trust
"""

EXAMPLES = r"""
- name: Look at an image
  stagecraft.pods.pod_image_info:
    name: docker://registry.example.com/team/worker:1.4
  register: worker

- name: It is the one that was tested
  ansible.builtin.assert:
    that: worker.images[0].sources[0].digest == tested_digest

- name: Look at all images
  stagecraft.pods.pod_image_info:
  register: store

- name: List those that no key has signed
  ansible.builtin.debug:
    msg: "{{ store.images | rejectattr('signer') | map(attribute='name') }}"
"""

RETURN = r"""
images:
  description: The images, each in the form of RV(stagecraft.pods.pod_image#module:image) and with what follows.
  returned: success
  type: list
  elements: dict
  contains:
    sources:
      description: The sources that gave the image when they were last asked, the latest first.
      type: list
      elements: dict
      contains:
        name:
          description: The source, as M(stagecraft.pods.pod_image) takes it; of a URL without its query.
          type: str
          sample: docker://registry.example.com/team/worker:1.4
        digest:
          description: The digest of the manifest in a docker registry, null for other sources.
          type: str
        time:
          description: When it was last fetched from there, in seconds since 1970.
          type: float
    complete:
      description: Whether everything of the image is in the store, dependencies included.
      type: bool
    in_use:
      description: Whether a pod that has not been collected needs it.
      type: bool
    pinned:
      description: Whether a collection leaves it alone, see O(stagecraft.pods.pod_image#module:pinned).
      type: bool
    manifest:
      description: The manifest of the image. That of a docker image is converted.
      type: dict
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
    where: name[0]
"""

from ansible_collections.stagecraft.pods.plugins.module_utils._glue.module import run_module
from ansible_collections.stagecraft.pods.plugins.module_utils._glue.options import FETCH, HOST


def main() -> None:
    run_module("pod_image_info", {"name": {"type": "list", "elements": "str"}, **FETCH, **HOST})


if __name__ == "__main__":
    main()
