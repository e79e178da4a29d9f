#!/usr/bin/python

# Copyright (c) 2026 the stagecraft.pods authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_volume
short_description: Manage volumes that outlive pods
version_added: 0.1.0
author:
  - the stagecraft.pods authors (@stagecraft)
description:
  - Ensures that a named volume exists with the wanted owner and mode, or that it does not exist.
  - Data in a volume is deleted only with O(state=absent) and O(purge_data=true).
extends_documentation_fragment:
  - stagecraft.pods._attributes
  - stagecraft.pods._host
  - stagecraft.pods._group
options:
  name:
    description:
      - The name of the volume, at most 200 lower-case letters and digits, joined by dashes.
    type: str
    required: true
  state:
    description:
      - Whether the volume exists.
    type: str
    choices: [present, absent]
    default: present
  mode:
    description:
      - The mode of the directory, three or four octal digits in quotes. Unquoted, YAML reads a number, which is
        refused. Without this option, a new volume has V(0755), and an existing one keeps its mode.
    type: raw
  uid:
    description:
      - The number of the owner. Without it, root owns a new volume and an existing one keeps its owner.
    type: int
  gid:
    description:
      - The number of the group. Without it, a new volume has root's group and an existing one keeps its group.
    type: int
  labels:
    description:
      - Arbitrary labels of the volume. Every value must be a string.
    type: dict
    default: {}
  purge_data:
    description:
      - Whether O(state=absent) may delete a volume that is not empty.
    type: bool
    default: false
seealso:
  - module: stagecraft.pods.pod_run
"""

EXAMPLES = r"""
- name: Create a volume for a user of the pods
  stagecraft.pods.pod_volume:
    name: work
    mode: "0750"
    uid: 100

- name: Delete a volume and all its data
  stagecraft.pods.pod_volume:
    name: work
    state: absent
    purge_data: true
"""

RETURN = r"""
volume:
  description: The volume, null if it does not exist.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
    path:
      description: Its directory on the host.
      type: str
      sample: /var/lib/pods/volumes/work/data
    mode:
      description: The mode of the directory, octal.
      type: str
      sample: "0750"
    uid:
      description: The number of the owner.
      type: int
    gid:
      description: The number of the group.
      type: int
    labels:
      description: Its labels.
      type: dict
    used_by:
      description: The pods that mount it, by name or UUID. Only M(stagecraft.pods.pod_info) fills it in.
      type: list
      elements: str
    bytes:
      description:
        - The bytes that its data occupies. Only M(stagecraft.pods.pod_info) fills it in, on request. It is V(null),
          with a RV(volume.problem), if the size cannot be measured, such as while an app moves directories.
      type: int
    problem:
      description:
        - Why its record or its directory cannot be read, empty if they can. O(state=present) creates them again,
          O(state=absent) removes the rest.
      type: str
changes:
  description:
    - All changes that were made, or would be in check mode. It is empty if and only if C(changed) is false.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The field that differs, such as C(volumes.work.mode).
      type: str
    before:
      description: The value before, null if absent.
      type: str
    after:
      description: The value after, null if it is removed.
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
    where: mode
"""

from ansible_collections.stagecraft.pods.plugins.module_utils._glue.module import run_module
from ansible_collections.stagecraft.pods.plugins.module_utils._glue.options import FETCH, HOST


def main() -> None:
    run_module(
        "pod_volume",
        {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "mode": {"type": "raw"},
            "uid": {"type": "int"},
            "gid": {"type": "int"},
            "labels": {"type": "dict", "default": {}},
            "purge_data": {"type": "bool", "default": False},
            **FETCH,
            **HOST,
        },
    )


if __name__ == "__main__":
    main()
