#!/usr/bin/python

# Copyright (c) 2026 the stagecraft.pods authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_image_build
short_description: Build images of files
version_added: 0.5.0
author:
  - the stagecraft.pods authors (@stagecraft)
description:
  - Makes an image of directories and files, of the host or of the controller, and of a definition of its app, and puts
    it into the store of the host, into a file, or into a registry.
  - The same files and options make the same image everywhere. Its entries are sorted, it has no times, and all files
    belong to root, unless the task says otherwise. Nothing is run to build it.
  - What is there already is compared by its content. An image that is there is not written again.
extends_documentation_fragment:
  - stagecraft.pods._attributes
  - stagecraft.pods._host
  - stagecraft.pods._fetch
options:
  name:
    description:
      - The name of the image, such as V(example.com/team/web), without a version.
    type: str
    required: true
  version:
    description:
      - The version of the image. It is the label C(version) of an ACI, and the tag of an OCI image, V(latest) if it is
        not given. Write it in quotes.
    type: raw
  format:
    description:
      - V(aci) is an App Container Image, which can be signed and can depend on other images.
      - V(oci) is what registries, podman and docker take.
    type: str
    choices: [aci, oci]
    default: aci
  files:
    description:
      - What is in the image. Of two elements with the same file, the later one counts, and directories are merged.
      - An element has O(files[].src), O(files[].content) or O(files[].link), or it is a directory.
      - Symbolic links stay what they are. Files of O(files[].src) that are hard links of one another are so in the
        image. File capabilities are kept. Devices, sockets and named pipes are refused.
    type: list
    elements: dict
    default: []
    suboptions:
      src:
        description:
          - The path of a file or a directory. The content of a directory is put below O(files[].dest). If it is a link,
            that is followed.
        type: str
      content:
        description:
          - The content of a file.
        type: str
      link:
        description:
          - The target of a symbolic link, which is made as it is written.
        type: str
      dest:
        description:
          - The path in the image. A file is put below it under its own name if it ends in C(/).
          - Missing directories above it are made, with the mode 0755.
        type: str
        required: true
      mode:
        description:
          - The mode of the file, or of all files of a directory O(files[].src), three or four octal digits in quotes. The
            default is that of the source, V(0644) with O(files[].content), and V(0755) for a directory.
        type: raw
      directory_mode:
        description:
          - The mode of the directories of O(files[].src), as O(files[].mode). The default is their own. The root of the
            image, and other directories that are there already, keep theirs.
        type: raw
      uid:
        description:
          - The owner, by number. The default is root.
        type: int
      gid:
        description:
          - The group, by number. The default is root's.
        type: int
      exclude:
        description:
          - What is left out of a directory O(files[].src), with what is below it. A pattern without a slash, such as
            V(*.pyc), is of a name at any depth, one with a slash, such as V(cache/*), of a path in the directory. C(*)
            matches no slash, C(**) does.
        type: list
        elements: str
        default: []
  files_from:
    description:
      - Where O(files[].src) is. On the V(controller) files are found like C(src) of M(ansible.builtin.copy), sent to the
        host, and decrypted if they are encrypted with Ansible Vault. On the V(host) paths are absolute.
    type: str
    choices: [controller, host]
    default: controller
  archive:
    description:
      - The path of the archive with the controller's files on the host. The collection sets it.
      - There is no need to set it.
    type: path
  preserve:
    description:
      - What is kept of the files of O(files[].src), so that the image depends on it. V(owner) is their owners and groups,
        by number, V(mtime) their times, in seconds, V(xattrs) extended attributes whose names begin with C(user.).
    type: list
    elements: str
    choices: [owner, mtime, xattrs]
    default: []
  mtime:
    description:
      - The time of all files in the image, in seconds since 1970.
    type: int
    default: 0
  app:
    description:
      - What the image runs. An image without it is for others to depend on.
    type: dict
    suboptions:
      exec:
        description:
          - The program, by its absolute path, and its arguments. It is the entrypoint of an OCI image.
          - Every element must be a string.
        type: list
        elements: raw
        default: []
      user:
        description:
          - The user, by name or number.
        type: str
        default: "0"
      group:
        description:
          - The group, by name or number.
        type: str
        default: "0"
      supplementary_gids:
        description:
          - Supplementary groups, by number.
        type: list
        elements: int
        default: []
      working_dir:
        description:
          - The directory that it starts in.
        type: str
      environment:
        description:
          - Its variables, as a dictionary, or as a list of C(NAME=VALUE). Every value must be a string.
          - The image has them for all to read.
        type: raw
      mount_points:
        description:
          - The paths that volumes are meant for.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description:
              - The name of the volume. An OCI image has paths only.
            type: str
            required: true
          path:
            description:
              - The path in the image.
            type: str
            required: true
          read_only:
            description:
              - Whether it is only read.
            type: bool
            default: false
      ports:
        description:
          - The ports that it listens on.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description:
              - The name of the port. An OCI image has numbers only.
            type: str
            required: true
          port:
            description:
              - The number of the port.
            type: int
            required: true
          protocol:
            description:
              - The protocol of the port.
            type: str
            choices: [tcp, udp, sctp]
            default: tcp
          count:
            description:
              - The number of consecutive ports.
            type: int
            default: 1
          socket_activated:
            description:
              - Whether the app expects an open socket from its starter.
            type: bool
            default: false
      isolators:
        description:
          - "The isolators of an ACI, as in its manifest, such as C({name: resource/memory, value: {limit: 64Mi}})."
          - One that asks for more than the defaults needs consent where the image is run.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description:
              - The name.
            type: str
            required: true
          value:
            description:
              - The value.
            type: raw
            required: true
      pre_start:
        description:
          - A command, as a list of strings, that is run as root before the app.
        type: list
        elements: raw
        default: []
      post_stop:
        description:
          - A command, as a list of strings, that is run as root after the app.
        type: list
        elements: raw
        default: []
      stop_signal:
        description:
          - The signal that stops it, such as V(SIGQUIT).
        type: str
      user_annotations:
        description:
          - Annotations of the app. Every value must be a string.
        type: dict
      user_labels:
        description:
          - Labels of the app. Every value must be a string.
        type: dict
  labels:
    description:
      - Labels of the image. Every value must be a string. C(os) is V(linux), and C(arch) the architecture of the host, in
        appc's spelling, such as V(aarch64), unless they are given.
    type: dict
  annotations:
    description:
      - Annotations of the image. Every value must be a string.
    type: dict
  dependencies:
    description:
      - The images below this one, the topmost first. They must be in the store where it is stored.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - The name of the image.
        type: str
        required: true
      labels:
        description:
          - The labels that it must have, such as its C(version).
        type: dict
      id:
        description:
          - The ID that it must have, or the beginning of it.
        type: str
  path_whitelist:
    description:
      - The only paths of an ACI and of its dependencies that the app sees.
    type: list
    elements: str
    default: []
  store:
    description:
      - Whether the image is put into the store of the host. The default is to do so without O(dest) and O(push).
      - It needs no signature, since the task says what is in it. A pod runs an ACI by its name, such as
        V(example.com/team/web:1.2), and an OCI image as V(docker://example.com/team/web:1.2).
    type: bool
  dest:
    description:
      - The file of the host that has the image, an absolute path. Of V(oci), it is an archive as C(skopeo) and
        C(podman save --format=oci-archive) make it.
    type: path
  mode:
    description:
      - The mode of O(dest), three or four octal digits in quotes.
    type: raw
    default: "0644"
  compress:
    description:
      - Whether O(dest), or the layer of an OCI image, is compressed with gzip.
    type: bool
    default: true
  sign_key:
    description:
      - The secret key that signs the file O(dest), by its fingerprint, its ID or its user ID. The signature is the file
        C(DEST.asc), as M(stagecraft.pods.pod_image) expects it. It is written again when it is not good any more.
    type: str
  gnupg_home:
    description:
      - The directory of C(gpg) that has the key. The default is E(GNUPGHOME) of the task, else C(~/.gnupg).
    type: path
  passphrase:
    description:
      - The passphrase of the key. It is handed to C(gpg) through a pipe.
    type: str
  push:
    description:
      - The tag that means the image in a registry, C(docker://REGISTRY/REPOSITORY:TAG). Only what the registry lacks is
        sent, with the credentials that M(stagecraft.pods.pod_login) or the host's configuration has for it.
    type: str
  insecure_options:
    description:
      - V(http) allows a registry of O(push) that is spoken to over plain HTTP, V(tls) skips the check of its
        certificate.
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
  - All files are read each time, to know whether the image is there with this content. In check mode nothing is written
    but, with files of the controller, to Ansible's temporary directory. With O(push) the registry is asked for the tag.
  - Files that change while they are read are an error.
  - gzip's output depends on the version of zlib. So the content of an image is the same everywhere, while the bytes of
    O(dest) and the digest of a layer in a registry may differ between hosts that build it. Neither is a change.
seealso:
  - module: stagecraft.pods.pod_image
  - module: stagecraft.pods.pod_login
  - module: stagecraft.pods.pod_trust
"""

EXAMPLES = r"""
- name: Build an image of a static program beside the playbook, and run it
  stagecraft.pods.pod_image_build:
    name: example.com/team/greeter
    version: "1.2"
    files:
      - {src: greeter, dest: /bin/greeter, mode: "0755"}
      - {content: "Hello\n", dest: /etc/greeting}
      - {dest: /var/lib/greeter, uid: 1000, gid: 1000}
    app:
      exec: [/bin/greeter, --listen=:8080]
      user: "1000"
      group: "1000"
      environment: {LEVEL: info}
      mount_points:
        - {name: state, path: /var/lib/greeter}
      ports:
        - {name: http, port: 8080}

- name: Publish a site of the host as an ACI with a signature
  stagecraft.pods.pod_image_build:
    name: example.com/team/site
    version: "{{ release }}"
    files_from: host
    files:
      - {src: /srv/build/site, dest: /usr/share/site, exclude: [.git, "*.map"]}
    dependencies:
      - {name: example.com/team/nginx, labels: {version: "1.27"}}
    app:
      exec: [/usr/sbin/nginx, -g, "daemon off;"]
    dest: /srv/images/site.aci
    sign_key: 0BD6 6F52 2F6C 3C4A 84BB  3BCB 4E2C 6E87 9326 5780
    passphrase: "{{ vault_signing_passphrase }}"

- name: Push an image to a registry
  stagecraft.pods.pod_image_build:
    name: registry.example.com/team/worker
    version: "{{ release }}"
    format: oci
    files:
      - {src: rootfs/, dest: /}
    app:
      exec: [/usr/bin/worker]
    push: docker://registry.example.com/team/worker:{{ release }}
"""

RETURN = r"""
image:
  description: The image as it is built, in check mode as well.
  returned: success
  type: dict
  contains:
    id:
      description: What names its content, the ID of an ACI, or the digest of the configuration of an OCI image.
      type: str
      sample: sha512-0a2f3c4d5e6f708192a3b4c5d6e7f8090a2f3c4d5e6f708192a3b4c5d6e7f809
    name:
      description: Its name and version.
      type: str
      sample: example.com/team/greeter:1.2
    labels:
      description: Its labels.
      type: dict
    format:
      description: Its format.
      type: str
    size:
      description: The bytes of its archive, uncompressed.
      type: int
    files:
      description: The number of its files, directories and links.
      type: int
    store_id:
      description: Its ID in the store, null if it is not put there.
      type: str
    dest:
      description: The file that has it, null for none.
      type: str
    signed_by:
      description: The fingerprint of the key that signs the file, null for none.
      type: str
    digest:
      description: The digest of its manifest in the registry, null without O(push), and before it is pushed.
      type: str
      sample: sha256:4f5e1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8
changes:
  description:
    - All changes that were made, or would be in check mode. It is empty if and only if C(changed) is false.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: What differs, such as C(images.example.com/team/greeter:1.2), C(files./srv/images/site.aci) or
        C(push.registry.example.com/team/worker:7).
      type: str
    before:
      description: The content before, null if absent.
      type: str
    after:
      description: The content after.
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
    where: files[0]
"""

from ansible_collections.stagecraft.pods.plugins.module_utils._glue.module import run_module
from ansible_collections.stagecraft.pods.plugins.module_utils._glue.options import FETCH, HOST

FILE = {
    "src": {"type": "str"},
    "content": {"type": "str"},
    "link": {"type": "str"},
    "dest": {"type": "str", "required": True},
    "mode": {"type": "raw"},
    "directory_mode": {"type": "raw"},
    "uid": {"type": "int"},
    "gid": {"type": "int"},
    "exclude": {"type": "list", "elements": "str", "default": []},
}
MOUNT_POINT = {
    "name": {"type": "str", "required": True},
    "path": {"type": "str", "required": True},
    "read_only": {"type": "bool", "default": False},
}
PORT = {
    "name": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
    "protocol": {"type": "str", "choices": ["tcp", "udp", "sctp"], "default": "tcp"},
    "count": {"type": "int", "default": 1},
    "socket_activated": {"type": "bool", "default": False},
}
ISOLATOR = {"name": {"type": "str", "required": True}, "value": {"type": "raw", "required": True}}
APP = {
    "exec": {"type": "list", "elements": "raw", "default": []},
    "user": {"type": "str", "default": "0"},
    "group": {"type": "str", "default": "0"},
    "supplementary_gids": {"type": "list", "elements": "int", "default": []},
    "working_dir": {"type": "str"},
    "environment": {"type": "raw"},
    "mount_points": {"type": "list", "elements": "dict", "default": [], "options": MOUNT_POINT},
    "ports": {"type": "list", "elements": "dict", "default": [], "options": PORT},
    "isolators": {"type": "list", "elements": "dict", "default": [], "options": ISOLATOR},
    "pre_start": {"type": "list", "elements": "raw", "default": []},
    "post_stop": {"type": "list", "elements": "raw", "default": []},
    "stop_signal": {"type": "str"},
    "user_annotations": {"type": "dict"},
    "user_labels": {"type": "dict"},
}
DEPENDENCY = {
    "name": {"type": "str", "required": True},
    "labels": {"type": "dict"},
    "id": {"type": "str"},
}


def main() -> None:
    run_module(
        "pod_image_build",
        {
            "name": {"type": "str", "required": True},
            "version": {"type": "raw"},
            "format": {"type": "str", "choices": ["aci", "oci"], "default": "aci"},
            "files": {"type": "list", "elements": "dict", "default": [], "options": FILE},
            "files_from": {"type": "str", "choices": ["controller", "host"], "default": "controller"},
            "archive": {"type": "path"},
            "preserve": {
                "type": "list",
                "elements": "str",
                "choices": ["owner", "mtime", "xattrs"],
                "default": [],
            },
            "mtime": {"type": "int", "default": 0},
            "app": {"type": "dict", "options": APP},
            "labels": {"type": "dict"},
            "annotations": {"type": "dict"},
            "dependencies": {"type": "list", "elements": "dict", "default": [], "options": DEPENDENCY},
            "path_whitelist": {"type": "list", "elements": "str", "default": []},
            "store": {"type": "bool"},
            "dest": {"type": "path"},
            "mode": {"type": "raw", "default": "0644"},
            "compress": {"type": "bool", "default": True},
            "sign_key": {"type": "str", "no_log": False},
            "gnupg_home": {"type": "path"},
            "passphrase": {"type": "str", "no_log": True},
            "push": {"type": "str"},
            **FETCH,
            **HOST,
        },
    )


if __name__ == "__main__":
    main()
