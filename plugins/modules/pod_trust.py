#!/usr/bin/python

# Copyright (c) 2026 the stagecraft.pods authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_trust
short_description: Trust keys to sign images
version_added: 0.4.0
author:
  - the stagecraft.pods authors (@stagecraft)
description:
  - Ensures that an OpenPGP key is trusted to sign the images of a prefix of names, or all images, or that it is not.
  - Keys are files below C(trustedkeys) of O(config_dir), one a key, as rkt has them. Keys that the distribution brings
    in C(/usr/lib/pods/trustedkeys) count as well, and an empty file of O(config_dir) masks one of these.
  - A key is stored without what no signature of an image needs, such as photos and the signatures of other people. A
    file with a secret key is refused.
  - A key that has expired or was revoked, and one that is too weak, is not stored. The first two are known only where
    C(gpg) is installed, which is what checks signatures later.
extends_documentation_fragment:
  - stagecraft.pods._attributes
  - stagecraft.pods._host
  - stagecraft.pods._group
options:
  prefix:
    description:
      - The key is for images whose name equals this or is below it, V(example.com/team) for C(example.com/team/app),
        and not for C(example.com/teams).
      - Either this or O(root) is required.
    type: str
  root:
    description:
      - Whether the key is for all images.
    type: bool
    default: false
  state:
    description:
      - V(present) ensures that the key is trusted for exactly this prefix, in the version of the task. A key with a new
        date of expiry or with another subkey is a change.
      - V(absent) ensures that it is not, by its O(fingerprint) or by the key itself. A key of the distribution is
        masked. The same key may still be trusted for another prefix.
    type: str
    choices: [present, absent]
    default: present
  key:
    description:
      - The public key as text, as C(gpg --armor --export) writes it. C(lookup('ansible.builtin.file', ...)) takes it
        from a file of the controller.
      - It is shown in no log, for the case that it is the wrong one.
    type: str
  src:
    description:
      - The path of a file of the host that has the public key, armoured or binary.
    type: path
  url:
    description:
      - The URL of the public key. It is downloaded only if no key of this O(fingerprint) is stored.
    type: str
  fingerprint:
    description:
      - The fingerprint that the key must have, 40 hex digits in any case, with or without blanks.
      - It is required with O(url), and taken from another source than that.
    type: str
  skip_fingerprint_review:
    description:
      - Whether a key from O(url) is trusted without O(fingerprint), that is, on the word of whatever answers there.
    type: bool
    default: false
  insecure_options:
    description:
      - V(http) allows O(url) over plain HTTP, V(tls) skips the check of its certificate.
      - The others are accepted so that they can be defaults of the action group C(stagecraft.pods.pods).
    type: list
    elements: str
    choices: [image, tls, http, capabilities, paths, seccomp]
    default: []
seealso:
  - module: stagecraft.pods.pod_image
  - module: stagecraft.pods.pod_run
"""

EXAMPLES = r"""
- name: Trust a team's key, which is beside the playbook, for its images
  stagecraft.pods.pod_trust:
    prefix: example.com/team
    key: "{{ lookup('ansible.builtin.file', 'team.asc') }}"

- name: Trust the key of a URL, if it is the right one
  stagecraft.pods.pod_trust:
    prefix: example.org
    url: https://example.org/keys/images.asc
    fingerprint: 0BD6 6F52 2F6C 3C4A 84BB  3BCB 4E2C 6E87 9326 5780

- name: Do not trust a key for all images any more
  stagecraft.pods.pod_trust:
    root: true
    fingerprint: 0bd66f522f6c3c4a84bb3bcb4e2c6e8793265780
    state: absent
"""

RETURN = r"""
trust:
  description: The key that is trusted for the prefix, null with O(state=absent) and before it is stored.
  returned: success
  type: dict
  contains:
    prefix:
      description: The prefix, empty for a root key.
      type: str
    root:
      description: Whether it is trusted for all images.
      type: bool
    fingerprint:
      description: The fingerprint of the primary key.
      type: str
      sample: 0bd66f522f6c3c4a84bb3bcb4e2c6e8793265780
    subkeys:
      description: The fingerprints of its subkeys.
      type: list
      elements: str
    identities:
      description: Its user IDs. Anyone can write any name into a key.
      type: list
      elements: str
    path:
      description: The file that has it.
      type: str
      sample: /etc/pods/trustedkeys/prefix.d/example.org/0bd66f522f6c3c4a84bb3bcb4e2c6e8793265780
fingerprints:
  description:
    - The fingerprints of all keys that count for an image of the name O(prefix), those of shorter prefixes and root keys
      included; of root keys with O(root).
  returned: success
  type: list
  elements: str
changes:
  description:
    - All changes that were made, or would be in check mode. It is empty if and only if C(changed) is false.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The key, as C(trust.PREFIX.FINGERPRINT), or C(trust.root.FINGERPRINT).
      type: str
    before:
      description: V(trusted), V(masked), or null for no key. Of C(...content) a digest of the key.
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
  description: The kind of an error, such as V(untrusted) or V(invalid-spec).
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
    where: fingerprint
"""

from ansible_collections.stagecraft.pods.plugins.module_utils._glue.module import run_module
from ansible_collections.stagecraft.pods.plugins.module_utils._glue.options import FETCH, HOST


def main() -> None:
    run_module(
        "pod_trust",
        {
            "prefix": {"type": "str"},
            "root": {"type": "bool", "default": False},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "key": {"type": "str", "no_log": True},
            "src": {"type": "path"},
            "url": {"type": "str"},
            "fingerprint": {"type": "str"},
            "skip_fingerprint_review": {"type": "bool", "default": False},
            **FETCH,
            **HOST,
        },
    )


if __name__ == "__main__":
    main()
