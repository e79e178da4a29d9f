#!/usr/bin/python

# Copyright (c) 2026 the stagecraft.pods authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_metadata_service
short_description: Run the metadata service of pods
version_added: 0.8.0
author:
  - the stagecraft.pods authors (@stagecraft)
description:
  - Ensures that the metadata service of the host runs, or that it does not. Apps of pods with O(stagecraft.pods.pod_run#module:mds_register)
    ask it for the manifest and the annotations of their pod. See
    R(the metadata service,ansible_collections.stagecraft.pods.docsite.metadata).
  - Where systemd is PID 1, these are the units C(pods-metadata.socket) and C(pods-metadata.service). The socket is open, and
    the first connection starts the service.
  - Elsewhere it is a process, which a boot does not start.
  - A service of another version of the collection is replaced by that of this one. Pods stay registered.
extends_documentation_fragment:
  - stagecraft.pods._attributes
  - stagecraft.pods._host
  - stagecraft.pods._group
options:
  state:
    description:
      - Whether the service runs. V(restarted) also ends the one that runs, and so is always a change.
      - V(absent) also removes the units, or the log of the process.
    type: str
    choices: [started, stopped, restarted, absent]
    default: started
  port:
    description:
      - The port for queries. Apps of pods that run already keep the URL with the port of before. The
        task warns of these pods when it changes something.
    type: int
    default: 18112
  enabled:
    description:
      - Whether a boot starts the service. By default it does with O(state=started) and O(state=restarted).
      - Without systemd V(true) is refused.
    type: bool
seealso:
  - module: stagecraft.pods.pod_run
"""

EXAMPLES = r"""
- name: Run the metadata service
  stagecraft.pods.pod_metadata_service:

- name: Run it on another port
  stagecraft.pods.pod_metadata_service:
    port: 28112

- name: Remove it
  stagecraft.pods.pod_metadata_service:
    state: absent
"""

RETURN = r"""
service:
  description: The service, as it is now. In check mode, as it was found.
  returned: success
  type: dict
  contains:
    manager:
      description: What runs it, V(systemd) or V(process).
      type: str
    running:
      description: Whether it takes connections.
      type: bool
    enabled:
      description: Whether a boot starts it.
      type: bool
    port:
      description: The port for queries, V(null) without a service.
      type: int
    socket:
      description: The socket on which pods are registered.
      type: str
      sample: /run/pods/metadata-svc.sock
changes:
  description:
    - All changes that were made, or would be in check mode. It is empty if and only if C(changed) is false.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The field that differs, such as C(metadata_service.state).
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
    where: port
"""

from ansible_collections.stagecraft.pods.plugins.module_utils._glue.module import run_module
from ansible_collections.stagecraft.pods.plugins.module_utils._glue.options import FETCH, HOST


def main() -> None:
    run_module(
        "pod_metadata_service",
        {
            "state": {
                "type": "str",
                "choices": ["started", "stopped", "restarted", "absent"],
                "default": "started",
            },
            "port": {"type": "int", "default": 18112},
            "enabled": {"type": "bool"},
            **FETCH,
            **HOST,
        },
    )


if __name__ == "__main__":
    main()
