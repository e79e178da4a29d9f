#!/usr/bin/python

# Copyright (c) 2026 the stagecraft.pods authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_volume
short_description: Keep volumes that outlive pods
version_added: 0.1.0
author:
  - the stagecraft.pods authors (@stagecraft)
description:
  - Makes sure that a named volume exists with the wanted owner and mode, or that it does not exist.
  - Data in a volume is only ever deleted with O(state=absent) and O(purge_data=true).
extends_documentation_fragment:
  - stagecraft.pods._attributes
  - stagecraft.pods._host
  - stagecraft.pods._group
options:
  name:
    description:
      - The name of the volume. Lower-case letters and digits, joined by dashes, at most 200.
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
      - The mode of the directory, three or four octal digits in quotes, since without them it is a number to YAML, which is
        refused. A new volume has V(0755); without this option an existing one keeps what it has.
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
      - Anything that you want to remember of the volume. Every value must be a string.
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
- name: A volume for a user inside of the pods
  stagecraft.pods.pod_volume:
    name: work
    mode: "0750"
    uid: 100

- name: Delete a volume and all that is in it
  stagecraft.pods.pod_volume:
    name: work
    state: absent
    purge_data: true
"""

RETURN = r"""
volume:
  description: The volume, null when there is none.
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
      description: The pods that mount it, by name or UUID. Only M(stagecraft.pods.pod_info) fills it.
      type: list
      elements: str
    bytes:
      description:
        - The bytes that its data occupies. Only M(stagecraft.pods.pod_info) fills it, on request; V(null) with a
          RV(volume.problem) when they cannot be counted, such as while an app moves directories.
      type: int
    problem:
      description:
        - Why its record or its directory cannot be read, empty when all is well. O(state=present) makes them anew,
          O(state=absent) removes what is left.
      type: str
changes:
  description:
    - Everything that was changed, or that would be in check mode. It is empty if and only if C(changed) is false.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The field that differs, such as C(volumes.work.mode).
      type: str
    before:
      description: What it was, null for what was not there.
      type: str
    after:
      description: What it becomes, null for what goes.
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
