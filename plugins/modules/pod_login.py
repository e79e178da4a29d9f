#!/usr/bin/python

# Copyright (c) 2026 the stagecraft.pods authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_login
short_description: Log hosts in to registries
version_added: 0.5.0
author:
  - the stagecraft.pods authors (@stagecraft)
description:
  - Ensures that a host has credentials for a registry, with which it fetches and pushes images, or that it has none.
  - The credentials are tried before they are written, in check mode as well. What the registry does not take is never
    written.
  - They are a document of the kind C(dockerAuth) in C(auth.d) of O(config_dir), one file a registry, with the mode 0600.
    Nothing of them but the name of the user is in a result, a log or a command line.
extends_documentation_fragment:
  - stagecraft.pods._attributes
  - stagecraft.pods._host
  - stagecraft.pods._fetch
options:
  registry:
    description:
      - The registry, C(HOST) or C(HOST:PORT), as in references of images. V(docker.io) is Docker Hub.
    type: str
    required: true
  username:
    description:
      - The user. It is required with O(state=present).
    type: str
  password:
    description:
      - The password, or a token that is used as one. It is required with O(state=present).
    type: str
  state:
    description:
      - V(present) ensures that the host has these credentials. If it has them already, the registry is not asked.
      - V(absent) removes what this module has written. Where other files have credentials for the registry, it warns.
    type: str
    choices: [present, absent]
    default: present
  verify:
    description:
      - Whether the credentials are tried. Without it, they are written for a registry that cannot be reached yet.
    type: bool
    default: true
  insecure_options:
    description:
      - V(tls) skips the check of the registry's certificate while the credentials are tried. They are never sent in clear
        text, except to this machine.
      - The others are accepted so that they can be defaults of the action group C(stagecraft.pods.pods).
    type: list
    elements: str
    choices: [image, tls, http, capabilities, paths, seccomp]
    default: []
  pull:
    description:
      - Accepted so that it can be a default of the action group C(stagecraft.pods.pods). This module ignores it.
    type: str
    choices: [never, new, update]
    default: new
notes:
  - Another document of C(auth.d) that has credentials for the same registry is an error, and is not changed.
seealso:
  - module: stagecraft.pods.pod_image
  - module: stagecraft.pods.pod_image_build
"""

EXAMPLES = r"""
- name: Log in to a registry
  stagecraft.pods.pod_login:
    registry: registry.example.com
    username: deploy
    password: "{{ vault_registry_password }}"

- name: Log out of Docker Hub
  stagecraft.pods.pod_login:
    registry: docker.io
    state: absent
"""

RETURN = r"""
login:
  description: The credentials, without the password. Null with O(state=absent).
  returned: success
  type: dict
  contains:
    registry:
      description: The registry, as references have it.
      type: str
      sample: registry-1.docker.io
    username:
      description: The user.
      type: str
    path:
      description: The file that has them.
      type: str
      sample: /etc/pods/auth.d/login-registry.example.com.json
changes:
  description:
    - All changes that were made, or would be in check mode. It is empty if and only if C(changed) is false.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: What differs, C(logins.REGISTRY), or its C(user), C(password) or C(mode).
      type: str
    before:
      description: The user, a fingerprint of the password, or the mode before, null if there was no login.
      type: str
    after:
      description: The same, afterwards.
      type: str
    reason:
      description: The source of the change, one of V(playbook), V(image), V(drift) and V(runtime).
      type: str
    impact:
      description: The effect on running pods, one of V(none), V(live), V(restart) and V(recreate).
      type: str
error:
  description: The kind of an error, such as V(unreachable) or V(invalid-spec).
  returned: failure
  type: str
hint:
  description: What to do about the error, empty when unknown.
  returned: failure
  type: str
facts:
  description:
    - Details of the error, for programs. Its members depend on the error.
    - C(where) is the invalid option, C(status) the one of HTTP, C(path) and C(errno) are those of a system call that failed.
  returned: failure
  type: dict
  sample:
    status: 401
"""

from ansible_collections.stagecraft.pods.plugins.module_utils._glue.module import run_module
from ansible_collections.stagecraft.pods.plugins.module_utils._glue.options import FETCH, HOST


def main() -> None:
    run_module(
        "pod_login",
        {
            "registry": {"type": "str", "required": True},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "verify": {"type": "bool", "default": True},
            **FETCH,
            **HOST,
        },
    )


if __name__ == "__main__":
    main()
