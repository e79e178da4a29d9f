#!/usr/bin/python

# Copyright (c) 2026 the stagecraft.pods authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_info
short_description: List the pods, images and volumes of a host
version_added: 0.1.0
author:
  - the stagecraft.pods authors (@stagecraft)
description:
  - Returns the pods, images, volumes and runtimes of a host. Changes nothing.
extends_documentation_fragment:
  - stagecraft.pods._attributes.info
  - stagecraft.pods._host
  - stagecraft.pods._group
options:
  gather:
    description:
      - What to return. The default is everything.
    type: list
    elements: str
    choices: [pods, images, volumes, runtime]
  name:
    description:
      - Return only the pod of this name or UUID.
      - A name means at most one pod, whether that runs or not. O(history) adds the earlier pods of the name.
    type: str
  history:
    description:
      - Whether to return, after the pod that O(name) means, the earlier pods of that name that have not been collected
        yet, the newest first.
    type: bool
    default: false
    version_added: 0.2.0
  tail:
    description:
      - The number of last lines of each app's output to return.
    type: int
    default: 0
  sizes:
    description:
      - Whether to measure the size of volumes, which takes a while.
    type: bool
    default: false
seealso:
  - module: stagecraft.pods.pod_run
  - module: stagecraft.pods.pod_image_info
"""

EXAMPLES = r"""
- name: Return everything
  stagecraft.pods.pod_info:
  register: host

- name: Return the last output of a pod
  stagecraft.pods.pod_info:
    gather: [pods]
    name: web
    tail: 50

- name: Return the output of the earlier pods of the name as well
  stagecraft.pods.pod_info:
    gather: [pods]
    name: web
    history: true
    tail: 50
"""

RETURN = r"""
pods:
  description:
    - The pods, each in the form of RV(stagecraft.pods.pod_run#module:pod). With O(tail), apps have C(stdout_lines) and
      C(stderr_lines).
  returned: when asked for
  type: list
  elements: dict
  contains:
    spec:
      description:
        - Every option of the pod by its path, as in C(changes) of M(stagecraft.pods.pod_run), such as
          C(apps.web.memory). Elements of lists are identified by name, and values of variables are fingerprints. It is
          empty if the pod cannot be read.
      type: dict
    paused:
      description: Whether C(podctl pause) holds its apps still. Its state is V(running) all the same.
      type: bool
    limits:
      description:
        - What the kernel has for the limits of a pod that runs.
      type: list
      elements: dict
      contains:
        app:
          description: The name of the app, empty for a limit of all apps together.
          type: str
        isolator:
          description: The name of the isolator, such as V(resource/memory).
          type: str
        file:
          description: The file of a control group, such as V(memory.max).
          type: str
        value:
          description: Its value. That of a disk comes after the numbers of the disk.
          type: str
    rights:
      description:
        - What the kernel says of the apps of a pod that runs, by the first process of each.
      type: list
      elements: dict
      contains:
        app:
          description: The name of the app.
          type: str
        pid:
          description: The PID of its first process on the host.
          type: int
        capabilities:
          description: The capabilities that it or any program in it can have.
          type: list
          elements: str
        seccomp:
          description: Whether it has a system call filter.
          type: bool
        no_new_privileges:
          description: Whether set-user-ID programs have no effect in it.
          type: bool
        root:
          description: The user of the host that is root in it, 0 unless the pod has O(stagecraft.pods.pod_run#module:private_users=true).
          type: int
        uid_map:
          description: The map of its users, rows of the first ID inside, the first ID on the host, and how many.
          type: list
          elements: list
          sample: [[0, 1000000, 65536]]
        gid_map:
          description: The same of its groups.
          type: list
          elements: list
          sample: [[0, 1000000, 65536]]
        oom_score_adj:
          description: Its OOM score adjustment.
          type: int
        mounts:
          description:
            - What is mounted in it, beginning with its root. Without what is beneath C(/proc), C(/sys) and C(/dev).
          type: list
          elements: dict
          contains:
            path:
              description: The path in the app.
              type: str
              sample: /data
            type:
              description: The type of its file system.
              type: str
              sample: ext4
            options:
              description: The options of the mount, such as V(ro), V(nosuid) and V(nodev).
              type: list
              elements: str
        apparmor:
          description: The AppArmor profile that it is under, with its mode. Empty where the kernel has no AppArmor.
          type: str
          sample: web (enforce)
        selinux:
          description: Its SELinux label. Empty where the kernel has no SELinux.
          type: str
          sample: system_u:system_r:container_t:s0:c1,c2
    network_details:
      description: The unmodified results of joining the networks.
      type: list
      elements: dict
images:
  description:
    - The images in the store, each in the form of RV(stagecraft.pods.pod_image#module:image), with the C(sources) of
      M(stagecraft.pods.pod_image_info).
  returned: when asked for
  type: list
  elements: dict
volumes:
  description: The named volumes, each in the form of RV(stagecraft.pods.pod_volume#module:volume).
  returned: when asked for
  type: list
  elements: dict
runtime:
  description: The runtimes of the host.
  returned: when asked for
  type: dict
  contains:
    current:
      description: The directory of the runtime that ran this task.
      type: str
    installed:
      description: The directories of all installed runtimes.
      type: list
      elements: str
    in_use:
      description: The directories of the runtimes that pods were prepared with, or that their units start.
      type: list
      elements: str
    python:
      description: The Python interpreter that ran this task.
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
