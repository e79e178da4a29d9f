#!/usr/bin/python

# Copyright (c) 2026 the stagecraft.pods authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_info
short_description: Tell what pods, images and volumes a host has
version_added: 0.1.0
author:
  - the stagecraft.pods authors (@stagecraft)
description:
  - Tells what is on a host. Changes nothing.
extends_documentation_fragment:
  - stagecraft.pods._attributes.info
  - stagecraft.pods._host
  - stagecraft.pods._group
options:
  gather:
    description:
      - What to tell of. Everything without this option.
    type: list
    elements: str
    choices: [pods, images, volumes, runtime]
  name:
    description:
      - Tell of the pod of this name or UUID only.
      - A name means one pod, whether that runs or not, or none. What pods had the name before it is told with O(history).
    type: str
  history:
    description:
      - Whether to tell, after the pod that O(name) means, of those that had the name before it and have not been
        collected yet, the newest first.
    type: bool
    default: false
    version_added: 0.2.0
  tail:
    description:
      - How many of the last lines of each app to show.
    type: int
    default: 0
  sizes:
    description:
      - Whether to count the bytes in volumes, which takes a while.
    type: bool
    default: false
seealso:
  - module: stagecraft.pods.pod_run
"""

EXAMPLES = r"""
- name: Everything
  stagecraft.pods.pod_info:
  register: found

- name: What a pod has said last
  stagecraft.pods.pod_info:
    gather: [pods]
    name: web
    tail: 50

- name: Why the pod before this one has ended
  stagecraft.pods.pod_info:
    gather: [pods]
    name: web
    history: true
    tail: 50
"""

RETURN = r"""
pods:
  description:
    - The pods, each as RV(stagecraft.pods.pod_run#module:pod) shows it. With O(tail), apps have C(stdout_lines) and
      C(stderr_lines).
  returned: when asked for
  type: list
  elements: dict
  contains:
    spec:
      description:
        - Every option of the pod by its path, as C(changes) of M(stagecraft.pods.pod_run) has them, such as
          C(apps.web.memory). Elements of lists go by their names, values of variables are fingerprints. It is empty where
          the pod cannot be read.
      type: dict
    network_details:
      description: What the networks answered, each as it answered.
      type: list
      elements: dict
images:
  description: The images in the store, each as RV(stagecraft.pods.pod_image#module:image) shows it.
  returned: when asked for
  type: list
  elements: dict
volumes:
  description: The named volumes, each as RV(stagecraft.pods.pod_volume#module:volume) shows it.
  returned: when asked for
  type: list
  elements: dict
runtime:
  description: The runtimes of the host.
  returned: when asked for
  type: dict
  contains:
    current:
      description: The directory of the runtime that has answered.
      type: str
    installed:
      description: The directories of all that are installed.
      type: list
      elements: str
    in_use:
      description: The directories of those that pods were prepared with, or that their units start.
      type: list
      elements: str
    python:
      description: The interpreter that has answered.
      type: str
    arch:
      description: The architecture of the host as appc spells it.
      type: str
      sample: amd64
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
        "pod_info",
        {
            "gather": {
                "type": "list",
                "elements": "str",
                "choices": ["pods", "images", "volumes", "runtime"],
            },
            "name": {"type": "str"},
            "history": {"type": "bool", "default": False},
            "tail": {"type": "int", "default": 0},
            "sizes": {"type": "bool", "default": False},
            **FETCH,
            **HOST,
        },
    )


if __name__ == "__main__":
    main()
