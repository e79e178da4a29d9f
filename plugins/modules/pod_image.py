#!/usr/bin/python

# Copyright (c) 2026 the stagecraft.pods authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_image
short_description: Manage images on a host
version_added: 0.1.0
author:
  - the stagecraft.pods authors (@stagecraft)
description:
  - Ensures that an image is in the host's store and rendered, so that pods start without a download, or that it is
    absent.
  - The same content has the same ID on every host, even if it was converted from a docker image.
extends_documentation_fragment:
  - stagecraft.pods._attributes
  - stagecraft.pods._host
  - stagecraft.pods._fetch
  - stagecraft.pods._src
options:
  name:
    description:
      - The image. C(docker://REGISTRY/REPOSITORY:TAG), or with C(@sha256:DIGEST) instead of the tag; the URL of an ACI,
        C(https://...aci); the path of an ACI on the host; or the name or the ID of an image in the store.
      - C(docker-archive:FILE), C(oci-archive:FILE) or C(oci:DIRECTORY), an image that docker, podman, buildah or skopeo saved
        on the host, with C(:NAME) or C(:@0), its place, where there are several. Since 0.4.0.
      - With O(src) it is what the file shall stand for, a docker reference or, for an ACI, the name in its manifest. It may
        then be left out, and the image is known by what it calls itself.
      - A list names several images, since 0.6.0. What must be fetched is fetched side by side, a layer that they share once.
        When one fails the others are done all the same; then the task fails and tells which ones have, and why. An image
        that is named twice is there once, and an empty list is nothing to do.
    type: raw
  src:
    description:
      - An image file on the controller, which the host gets over Ansible's connection, and only if its store does not have
        the image of this very file.
      - An ACI, or an archive as C(docker save), C(podman save) and C(skopeo copy) write it, in the formats docker-archive
        and oci-archive. A relative path is searched for as by M(ansible.builtin.copy).
      - Since 0.6.0 it may be a directory with an OCI layout, as C(skopeo copy) and C(buildah push) write it for C(oci:). It is
        packed in the temporary directory of Ansible on the controller, once in a run.
      - It is sent in pieces. After a break the next run sends those that the host does not have yet. Since 0.6.0 layers of
        1 MiB and more that the store of the host has, of any image, are not sent.
      - With O(name=docker://REGISTRY/REPOSITORY:TAG) pods use the image for that reference, without a registry unless they
        say C(pull=update). The archive must have an image of that name.
      - O(pull) has no meaning for it. The task cannot be asynchronous.
    type: str
    version_added: 0.5.0
  state:
    description:
      - V(present) fetches the image if it is missing.
      - V(absent) removes the image from the store. Pods that were prepared from it keep working.
    type: str
    choices: [present, absent]
    default: present
  signature:
    description:
      - The path of the detached signature of an ACI on the host, if it is not beside the image. With O(src) it is a file of
        the controller, too.
      - Without this option it is the file or the URL of the image with C(.asc) after it, and for a name what discovery
        says.
      - It needs a key that is trusted for the name of the image, see M(stagecraft.pods.pod_trust).
    type: path
    version_added: 0.5.0
  pinned:
    description:
      - Whether M(stagecraft.pods.pod_gc) and C(podctl image gc) leave the image alone, whether a pod needs it or not.
      - Without this option a pin stays as it is. A pin goes with its image, and moves to the image that an update brings.
    type: bool
    version_added: 0.5.0
  dest:
    description:
      - The path of a file on the host that shall hold the image, as an uncompressed ACI. O(name) is then one image.
      - An ACI comes out as it was sent; a docker image as one root with all its layers, see C(podctl image export).
      - The file is replaced in one step, when it does not hold this image. What it holds is known by a record in an extended
        attribute, as long as its size and its time of change are those of the export; otherwise its content is compared.
      - A new file has mode 0600, since the host's store is readable for root alone. One that is replaced hands on its owner
        and its mode, so that M(ansible.builtin.file) can set them. A link is replaced, and what it leads to left alone. A
        directory is refused.
    type: path
    version_added: 0.6.0
  force:
    description:
      - Whether the image is fetched though it is in the store, and what the store has of it compared with what came.
      - What is damaged is made again or downloaded, unless a pod uses it. Layers of a docker image that are whole are not
        downloaded again. If the source cannot be reached, what is damaged is gone until the next run.
      - The task is changed if the image was damaged or missing, or if the source has another one. In check mode all of the
        image is read and the source is asked once, so that the prediction is correct.
      - In contrast, O(pull=update) fetches only if the source has something newer, and compares nothing on the host; an
        image whose digest has not changed is left as it is.
      - It needs a O(name) that says where the image is, not the ID of one, and excludes O(src) and O(pull=never). With
        O(state=absent) it has no meaning, since no image is kept from being removed.
    type: bool
    default: false
    version_added: 0.6.0
notes:
  - In check mode no image is fetched or sent, but the signature of a file is verified, and that of a docker image for which
    the host has the policy C(signed). Of O(src) it is checked whether a trusted key has made the signature, and whether the
    archive has the image of O(name). With O(pull=update) the registry is asked for the digest, so that the prediction is
    correct.
seealso:
  - module: stagecraft.pods.pod_run
  - module: stagecraft.pods.pod_trust
  - module: stagecraft.pods.pod_gc
"""

EXAMPLES = r"""
- name: Fetch an unsigned image from a registry
  stagecraft.pods.pod_image:
    name: docker://registry.example.com/team/worker:1.4
    insecure_options: [image]

- name: Fetch several images at once
  stagecraft.pods.pod_image:
    name:
      - docker://registry.example.com/team/web:2.2
      - docker://registry.example.com/team/worker:1.4
    insecure_options: [image]

- name: Update to the newest image of a tag; only changed layers are downloaded
  stagecraft.pods.pod_image:
    name: docker://registry.example.com/team/worker:stable
    pull: update
    insecure_options: [image]

- name: Import an image that was copied to the host
  stagecraft.pods.pod_image:
    name: /srv/images/web.aci
    insecure_options: [image]

- name: Fetch an image that a trusted key has signed, with the signature beside it
  stagecraft.pods.pod_image:
    name: https://example.com/images/web-1.4.aci

- name: Import one whose signature is elsewhere on the host
  stagecraft.pods.pod_image:
    name: /srv/images/web.aci
    signature: /srv/signatures/web.asc

- name: Have an image ready for pods that come later
  stagecraft.pods.pod_image:
    name: docker://registry.example.com/team/worker:1.4
    pinned: true
    insecure_options: [image]

- name: Send an image to hosts without a registry, on which pods then use it by this name
  stagecraft.pods.pod_image:
    src: worker-1.4.tar  # of docker save, beside the playbook in files/
    name: docker://registry.example.com/team/worker:1.4
    insecure_options: [image]

- name: Send an ACI that a trusted key has signed, with its signature from beside it
  stagecraft.pods.pod_image:
    src: web-1.4.aci

- name: Fetch an image again, since the disk of the host was damaged
  stagecraft.pods.pod_image:
    name: docker://registry.example.com/team/worker:1.4
    force: true
    insecure_options: [image]

- name: Write an image into a file, for a host without a network
  stagecraft.pods.pod_image:
    name: docker://registry.example.com/team/worker:1.4
    dest: /srv/images/worker-1.4.aci
    insecure_options: [image]

- name: Remove an image
  stagecraft.pods.pod_image:
    name: docker://registry.example.com/team/worker:1.3
    state: absent
"""

RETURN = r"""
image:
  description: The image, null when it is not in the store. Not of a list of names, see RV(images).
  returned: success, unless O(name) is a list
  type: dict
  contains:
    id:
      description: Its ID.
      type: str
      sample: sha512-0a2f3c4d5e6f708192a3b4c5d6e7f8090a2f3c4d5e6f708192a3b4c5d6e7f809
    name:
      description: Its name and version.
      type: str
      sample: registry.example.com/team/worker:1.4
    labels:
      description: Its labels.
      type: dict
    size:
      description: The bytes that it occupies on disk.
      type: int
    import_time:
      description: When it was imported into the store, in seconds since 1970.
      type: float
    last_used:
      description: When it was last used, in seconds since 1970.
      type: float
    signer:
      description: The fingerprint of the key that has signed it, as its fetch has verified, null for none.
      version_added: 0.5.0
      type: str
    policy:
      description:
        - The policy of M(stagecraft.pods.pod_trust) that let a docker image in, as C(accept PREFIX) or C(signed PREFIX), null
          for none.
      version_added: 0.5.0
      type: str
images:
  description: What became of each image of a list, in its order.
  returned: when O(name) is a list
  version_added: 0.6.0
  type: list
  elements: dict
  contains:
    reference:
      description: The name as the list has it, of a URL without its query.
      type: str
      sample: docker://registry.example.com/team/worker:1.4
    changed:
      description: Whether something was changed, or would be in check mode.
      type: bool
    failed:
      description: Whether it has failed.
      type: bool
    image:
      description: The image, with the members of RV(image); null when it is not in the store, or the task failed with it.
      type: dict
    bytes:
      description: As RV(bytes).
      returned: when it has not failed, with O(state=present)
      type: int
    seconds:
      description: As RV(seconds).
      returned: when it has not failed, with O(state=present)
      type: float
    msg:
      description: Why it has failed.
      returned: when it has failed
      type: str
    error:
      description: The kind of the error.
      returned: when it has failed
      type: str
    hint:
      description: What to do about the error, empty when unknown.
      returned: when it has failed
      type: str
bytes:
  description: The bytes of archives and layers that were downloaded, 0 when nothing was fetched.
  returned: success, with O(state=present), unless O(name) is a list
  version_added: 0.6.0
  type: int
seconds:
  description: The time that the fetch took, 0 when nothing was fetched.
  returned: success, with O(state=present), unless O(name) is a list
  version_added: 0.6.0
  type: float
sent_bytes:
  description: The bytes of O(src) that were sent, 0 when the host has its image.
  returned: success, with O(src)
  version_added: 0.5.0
  type: int
changes:
  description:
    - All changes that were made, or would be in check mode. It is empty if and only if C(changed) is false.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The image that differs, such as C(images.registry.example.com/team/worker:1.4).
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
    where: name
"""

from ansible_collections.stagecraft.pods.plugins.module_utils._glue.module import run_module
from ansible_collections.stagecraft.pods.plugins.module_utils._glue.options import FETCH, HOST


def main() -> None:
    run_module(
        "pod_image",
        {
            "name": {"type": "raw"},
            "src": {"type": "str"},
            "src_file": {"type": "dict"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "signature": {"type": "path"},
            "pinned": {"type": "bool"},
            "dest": {"type": "path"},
            "force": {"type": "bool", "default": False},
            **FETCH,
            **HOST,
        },
        required_one_of=[("name", "src")],
    )


if __name__ == "__main__":
    main()
