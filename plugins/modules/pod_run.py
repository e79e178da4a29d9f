#!/usr/bin/python

# Copyright (c) 2026 the stagecraft.pods authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_run
short_description: Run pods
version_added: 0.1.0
author:
  - the stagecraft.pods authors (@stagecraft)
description:
  - Ensures that the pod of a name is as described, with its apps, volumes, networks and environment, and in the wanted
    state, or that it is absent.
  - A pod that is as described is left alone. One that differs is replaced. The new pod is fully prepared before the old
    one is stopped, and if it does not come up or stay up, see O(update), the old one is started again.
  - Where systemd runs, a pod is the unit C(pod-NAME.service), which starts it at boot. Elsewhere it runs detached.
extends_documentation_fragment:
  - stagecraft.pods._attributes
  - stagecraft.pods._host
  - stagecraft.pods._fetch
  - stagecraft.pods._pod
notes:
  - In check mode, for an image that is not in the store yet, only changes to the description can be predicted.
  - A pod with O(wait=true) that has ended with status 0 is not run again. Use O(state=restarted) to run it again.
seealso:
  - module: stagecraft.pods.pod_image
  - module: stagecraft.pods.pod_volume
  - module: stagecraft.pods.pod_info
"""

EXAMPLES = r"""
- name: Run a pod of two apps that share a volume
  stagecraft.pods.pod_run:
    name: reduce
    apps:
      - image: docker://registry.example.com/reduce-worker:1.0.0
        name: worker
        memory: 128M
        cpu: 750m
        environment:
          LEVEL: debug
        mounts: [{volume: work, target: /srv/work}]
      - image: docker://registry.example.com/worker-backup:1.0.0
        name: backup
        exec: /bin/backup
        args: [--interval, 30s]
        mounts: [{volume: work, target: /srv/work}]
    volumes:
      - name: work
        volume: work
    insecure_options: [image]

- name: Run a server on port 8080 of the host
  stagecraft.pods.pod_run:
    name: web
    apps:
      - image: docker://registry.example.com/team/web:2.1
    ports: ["8080:80"]
    insecure_options: [image]

- name: Run the same in long forms, with the pages in a named volume
  stagecraft.pods.pod_run:
    name: web
    apps:
      - image: docker://registry.example.com/team/web:2.1
        mounts:
          - volume: pages
            target: /srv/www
            read_only: true
    volumes:
      - name: pages
        kind: named
        volume: pages
    ports:
      - port: 80
        host_port: 8080
    insecure_options: [image]

- name: Run a task to completion and return its output
  stagecraft.pods.pod_run:
    name: migrate
    apps:
      - image: docker://registry.example.com/team/web:2.1
        exec: /bin/migrate
    wait: true
    insecure_options: [image]
  register: migration

- name: Prepare a pod, to be started later
  stagecraft.pods.pod_run:
    name: spare
    apps:
      - image: docker://registry.example.com/team/web:2.1
    state: prepared
    insecure_options: [image]

- name: Stop a pod
  stagecraft.pods.pod_run:
    name: web
    apps:
      - image: docker://registry.example.com/team/web:2.1
    state: stopped
    insecure_options: [image]

- name: Restart a pod
  stagecraft.pods.pod_run:
    name: web
    apps:
      - image: docker://registry.example.com/team/web:2.1
    state: restarted
    insecure_options: [image]

- name: Remove a pod
  stagecraft.pods.pod_run:
    name: web
    state: absent

- name: Restart an existing pod by name, as in a handler
  stagecraft.pods.pod_run:
    name: web
    state: restarted
"""

RETURN = r"""
pod:
  description: The pod, null if it does not exist, such as in check mode before it is created.
  returned: success, and failure of the pod with O(wait=true)
  type: dict
  contains:
    name:
      description: The name of the pod.
      type: str
    uuid:
      description: Its UUID. A replaced pod has a new one.
      type: str
    state:
      description: Its state as in C(podctl list), such as V(running), V(prepared) or V(exited).
      type: str
    pid:
      description: The PID of the pod's first process as seen from the host, null when the pod does not run.
      type: int
    created_at:
      description: When it was prepared, in seconds since 1970.
      type: float
    started_at:
      description: When it was started, in seconds since 1970, null if it was not.
      type: float
    exit_code:
      description: Its exit status, 0 if no app failed, null if it has not ended or was killed.
      type: int
    apps:
      description: Its apps.
      type: list
      elements: dict
      contains:
        name:
          description: The name of the app.
          type: str
        image:
          description: The name and version of its image.
          type: str
        image_id:
          description: The ID of its image.
          type: str
        state:
          description: Its state, such as V(running) or V(exited).
          type: str
        exit_code:
          description: Its exit status, null if it has not ended. 0 if it was stopped, whatever it ended with.
          type: int
        finished_at:
          description: When it ended, in seconds since 1970, null if it has not ended.
          type: float
        restart:
          description: What came of its O(apps[].restart), null without a policy.
          type: dict
          contains:
            policy:
              description: The policy.
              type: str
            restarts:
              description: How many times it was started again.
              type: int
            last_exit_code:
              description: The exit status of its last end, null if that was by a signal, or has not been.
              type: int
            last_signal:
              description: The signal of its last end.
              type: int
            last_oom:
              description: Whether it has used more memory than it may.
              type: bool
            last_started_at:
              description: When it was started last, in seconds since 1970.
              type: float
            last_finished_at:
              description: When it ended last.
              type: float
            next_start_at:
              description: When it is started next, null unless it is between two starts.
              type: float
            waiting_process_lost:
              description: Whether the process that would start it again was killed, so that its next end is the last.
              type: bool
        stdout_lines:
          description: Of the last O(tail) lines of its output, those on standard output.
          returned: when O(wait=true), and not in check mode
          type: list
          elements: str
        stderr_lines:
          description: Of the last O(tail) lines of its output, those on standard error.
          returned: when O(wait=true), and not in check mode
          type: list
          elements: str
    networks:
      description: Its networks.
      type: list
      elements: dict
      contains:
        name:
          description: The name of the network.
          type: str
        ip:
          description: The IPv4 address of the pod, or its first IPv6 address if it has none.
          type: str
        interface:
          description: The interface in the pod.
          type: str
    ports:
      description: The ports of the host that lead to it.
      version_added: 0.8.0
      type: list
      elements: dict
      contains:
        name:
          description: The name of the port.
          type: str
        protocol:
          description: Its protocol.
          type: str
        host_ip:
          description: The address of the host, empty for all.
          type: str
        host_port:
          description: The number, or the first one, also of a port that was chosen with V(auto).
          type: int
        port:
          description: The number in the pod, or the first one.
          type: int
        count:
          description: How many ports there are in a row.
          type: int
    labels:
      description: Its labels.
      type: dict
    problem:
      description: Why the pod cannot be read, empty if it can.
      type: str
fetched:
  description: The images that were fetched, in that order.
  returned: success
  version_added: 0.6.0
  type: list
  elements: dict
  contains:
    reference:
      description: What the task calls the image.
      type: str
    bytes:
      description: The bytes of archives and layers that were downloaded, 0 of an image that was on the host.
      type: int
    seconds:
      description: The time that the fetch took.
      type: float
rc:
  description: The exit status of the pod, null if it has not ended in time or was killed.
  returned: when O(wait=true) with O(state=started) or O(state=restarted), and not in check mode
  type: int
rolled_back:
  description: Whether the old pod, or the old apps of it, run again after the failure of the new ones.
  returned: failure after the old pod, or apps of it, were stopped for their replacement
  type: bool
changes:
  description:
    - All changes that were made, or would be in check mode. It is empty if and only if C(changed) is false.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description:
        - The option that differs, such as C(apps[0].environment.LEVEL). Entries that the task no longer has are
          identified by name, such as C(apps.NAME). Changes that belong to no option are C(pods.NAME),
          C(pods.NAME.state), C(pods.NAME.unit) or C(images.NAME).
      type: str
    before:
      description: The value before, null if absent. Values that may be secret are fingerprints.
      type: str
    after:
      description: The value after, null if it is removed.
      type: str
    reason:
      description: The source of the change, one of V(playbook), V(image), V(drift) and V(runtime).
      type: str
    impact:
      description: The effect on the running pod, one of V(none), V(live), V(restart), V(replace-app) and V(recreate).
      type: str
error:
  description:
    - The kind of the error. V(invalid-spec), an option is not valid, or does not fit the image, such as a program that
      the image does not have. V(not-found), a named object does not exist. V(conflict), a needed resource is in use.
      V(untrusted), content is refused. V(unreachable), a remote did not deliver what was requested. V(unsupported), the
      host lacks something. V(corrupt), something on disk is damaged. V(host-failure), the operating system refused an
      operation, or a program hung.
    - V(app-failed), an app failed, with O(wait=true) or after a replacement. V(timeout), only with O(wait=true).
      V(bug), a bug of this collection.
  returned: failure
  type: str
hint:
  description: What to do about the error, empty when unknown.
  returned: failure, except with V(timeout) as RV(error)
  type: str
facts:
  description:
    - Details of the error, for programs. Its members depend on the error.
    - C(where) is the invalid option, C(path) and C(errno) are those of a system call that failed.
    - C(stage) is the operation on the pod, one of V(prepare), V(rehearse), V(start), V(run), V(stop) and V(gc).
    - C(app) is the app that failed, with its C(exit_code) or the C(signal) that ended it, C(oom) if it exceeded its
      memory limit, and its C(last_lines). C(apps) has the last lines of every app of a pod that was removed.
  returned: failure, except with V(timeout) as RV(error)
  type: dict
  sample:
    where: apps[0].memory
"""

from ansible_collections.stagecraft.pods.plugins.module_utils._glue.module import run_module
from ansible_collections.stagecraft.pods.plugins.module_utils._glue.options import FETCH, HOST, POD


def main() -> None:
    run_module("pod_run", {**POD, **FETCH, **HOST}, required_if=[("state", "prepared", ("apps",))])


if __name__ == "__main__":
    main()
