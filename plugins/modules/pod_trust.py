#!/usr/bin/python

# Copyright (c) 2026 the stagecraft.pods authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_trust
short_description: Trust keys to sign images, and decide about docker images
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
  - With O(policy) it ensures that docker images of a registry, or below a repository, are accepted as they come,
    rejected, or need a signature. No task needs C(insecure_options) for an image that a policy accepts or verifies.
    Policies are documents in C(trust.d) of O(config_dir).
extends_documentation_fragment:
  - stagecraft.pods._attributes
  - stagecraft.pods._host
  - stagecraft.pods._group
options:
  prefix:
    description:
      - The key is for images whose name equals this or is below it, V(example.com/team) for C(example.com/team/app),
        and not for C(example.com/teams).
      - With O(policy) it begins with a registry, V(docker.io/library) or V(registry.example.com:5000). Of several policies
        that of the longest prefix decides.
      - Either this or O(root) is required.
    type: str
  root:
    description:
      - Whether the key is for all images; with O(policy), whether that is for all docker images, unless one for a prefix
        decides.
    type: bool
    default: false
  policy:
    description:
      - What decides about docker images. Without it a key for ACIs is meant.
      - V(accept) lets images in as they come, on the word of the registry.
      - V(signed) lets images in that are signed by one of the keys of O(key), O(src) or O(url). A key of OpenPGP is for
        simple signing, as by C(skopeo copy --sign-by) or C(podman push --sign-by); a public key in PEM, ECDSA P-256 or
        Ed25519, for C(cosign sign --key). A text may have several keys, any of which may then sign.
      - V(reject) lets no image in, whatever C(insecure_options) say.
      - It decides when an image is fetched; images that are in the store already stay.
      - With O(state=absent) any of them stands for the policy of the prefix, which is removed.
    type: str
    choices: [accept, signed, reject]
    version_added: 0.5.0
  lookaside:
    description:
      - Where signatures by a key of OpenPGP are, with O(policy=signed), the C(https://), C(http://) or C(file:///) URL of
        a directory, as C(lookaside) or C(sigstore) of C(registries.d) has it.
      - Without it the registry is asked, by the extension of OpenShift's. Signatures of cosign are in the repository.
    type: str
    version_added: 0.5.0
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
      - The public key as text, as C(gpg --armor --export) writes it, or with O(policy) C(cosign.pub) as well. C(lookup('ansible.builtin.file', ...)) takes it
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
      - The fingerprint that the key must have, 40 hex digits in any case, with or without blanks. That of a key in PEM
        has 64, as C(openssl pkey -pubin -in cosign.pub -outform DER | sha256sum) prints them.
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

- name: Accept the official images of Docker Hub as they come
  stagecraft.pods.pod_trust:
    prefix: docker.io/library
    policy: accept

- name: Accept a team's docker images if cosign has signed them with its key
  stagecraft.pods.pod_trust:
    prefix: registry.example.com/team
    policy: signed
    key: "{{ lookup('ansible.builtin.file', 'cosign.pub') }}"
    fingerprint: 5f3dc8cd2ac0e5b3c8e0c6fc2b07fcd2fcbb4f29b4b50b2fb4a5a1bd9b3ac8d0

- name: Accept images that podman has signed with a key of OpenPGP
  stagecraft.pods.pod_trust:
    prefix: registry.example.com/base
    policy: signed
    key: "{{ lookup('ansible.builtin.file', 'base.asc') }}"
    lookaside: https://registry.example.com/signatures
"""

RETURN = r"""
trust:
  description: The key that is trusted for the prefix, null with O(state=absent) and O(policy), and before it is stored.
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
      included; of root keys with O(root). With O(policy) those of the policy.
  returned: success
  type: list
  elements: str
policy:
  description: The policy for exactly this prefix, null without one and without O(policy).
  returned: success
  type: dict
  contains:
    prefix:
      description: The prefix, empty for all images.
      type: str
    root:
      description: Whether it is for all images.
      type: bool
    policy:
      description: One of V(accept), V(signed) and V(reject).
      type: str
    algorithms:
      description: The kinds of its keys, in the order of RV(fingerprints).
      type: list
      elements: str
      sample: [ECDSA P-256]
    lookaside:
      description: Where signatures by OpenPGP are, empty for the registry itself.
      type: str
    path:
      description: The file that has it.
      type: str
      sample: /etc/pods/trust.d/docker.io,library.json
changes:
  description:
    - All changes that were made, or would be in check mode. It is empty if and only if C(changed) is false.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The key, as C(trust.PREFIX.FINGERPRINT), or C(trust.root.FINGERPRINT); the policy, as C(policy.PREFIX).
      type: str
    before:
      description:
        - V(trusted), V(masked), or null for no key. Of C(...content) a digest of the key. Of a policy what it says, of
          its C(...keys) their fingerprints.
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
            "policy": {"type": "str", "choices": ["accept", "signed", "reject"]},
            "lookaside": {"type": "str"},
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
