#!/usr/bin/python

# Copyright (c) 2026 the stagecraft.pods authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_network_info
short_description: Tell which networks a host has for pods, and who uses them
version_added: 0.8.0
author:
  - the stagecraft.pods authors (@stagecraft)
description:
  - Returns the networks that pods of a host can join, built-in ones too, with the pods that have joined them. Changes
    nothing.
  - A file that cannot be used does not keep the module from the other networks.
extends_documentation_fragment:
  - stagecraft.pods._attributes.info
  - stagecraft.pods._host
  - stagecraft.pods._group
options:
  name:
    description:
      - Return only these networks. Those that are not defined are left out.
    type: list
    elements: str
notes:
  - The module needs root.
seealso:
  - module: stagecraft.pods.pod_network
  - module: stagecraft.pods.pod_info
"""

EXAMPLES = r"""
- name: Look at the networks
  stagecraft.pods.pod_network_info:
  register: found

- name: Nothing is wrong with them
  ansible.builtin.assert:
    that: found.networks | map(attribute='problem') | select | length == 0

- name: List the pods of each
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.used_by | map(attribute='name') | join(', ') }}"
  loop: "{{ found.networks }}"
  loop_control:
    label: "{{ item.name }}"
"""

RETURN = r"""
networks:
  description: The networks, sorted by name, and at the end the files that define none.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name, null for a file whose name for its network cannot be read.
      type: str
      sample: br
    type:
      description: Its type.
      type: str
      sample: bridge
    file:
      description: The file that defines it, null for a built-in one.
      type: str
      sample: /etc/pods/net.d/50-br.conf
    built_in:
      description: Whether it is built in.
      type: bool
    made_by_task:
      description: Whether M(stagecraft.pods.pod_network) has written the file.
      type: bool
    conf:
      description: The configuration as it was read, null if it is not JSON.
      type: dict
    subnets:
      description: The subnets of its ranges of addresses.
      type: list
      elements: str
      sample: [10.78.0.0/24, "fd00:78::/64"]
    gateways:
      description: The gateways of these.
      type: list
      elements: str
      sample: [10.78.0.1, "fd00:78::1"]
    leases:
      description:
        - How many addresses are leased, by pods and by other engines, null for a network that leases none. Leases of pods
          that were killed count until they are collected or used again.
      type: int
    free:
      description: How many IPv4 addresses of its ranges are not leased, null for a network without IPv4.
      type: int
    used_by:
      description: The pods that run on it, in any data directory, and those that are prepared for it, by name.
      type: list
      elements: dict
      contains:
        name:
          description: The name of the pod, empty if it has none.
          type: str
        uuid:
          description: Its UUID.
          type: str
        running:
          description: Whether it runs.
          type: bool
        addresses:
          description: Its addresses on the network.
          type: list
          elements: str
        data_dir:
          description: Its data directory, null if it is that of the module.
          type: str
    problem:
      description:
        - Why the file cannot be used, or what is wrong with the network on the host, such as a bridge or the program of a plugin
          that is missing, or a pod that has joined another definition. Empty if nothing is.
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
    where: name[0]
"""

from ansible_collections.stagecraft.pods.plugins.module_utils._glue.module import run_module
from ansible_collections.stagecraft.pods.plugins.module_utils._glue.options import FETCH, HOST


def main() -> None:
    run_module("pod_network_info", {"name": {"type": "list", "elements": "str"}, **FETCH, **HOST})


if __name__ == "__main__":
    main()
