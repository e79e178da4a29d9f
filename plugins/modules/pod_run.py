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
  - Makes sure that a pod of a name is as described, with its apps, volumes, networks and environment, and that it is in the
    wanted state, or that there is none.
  - A pod that is as described is left alone. One that is not is replaced. Everything is prepared before the old pod is
    stopped, and if the new one does not come up or does not stay up, see O(update), the old one is started again.
  - Where systemd runs, a pod is the unit C(pod-NAME.service), which starts it at boot. Elsewhere it runs on its own.
extends_documentation_fragment:
  - stagecraft.pods._attributes
  - stagecraft.pods._host
  - stagecraft.pods._fetch
  - stagecraft.pods._pod
notes:
  - In check mode, what depends on an image that is not in the store yet is only known as far as the description goes.
  - A pod with O(wait=true) that has ended with status 0 is as wanted, and is not run again. Use O(state=restarted) to run it
    again.
seealso:
  - module: stagecraft.pods.pod_image
  - module: stagecraft.pods.pod_volume
  - module: stagecraft.pods.pod_info
"""

EXAMPLES = r"""
- name: A pod of two apps that share a volume
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

- name: A server that the host's port 8080 leads to
  stagecraft.pods.pod_run:
    name: web
    apps:
      - image: docker://registry.example.com/team/web:2.1
    ports: ["8080:80"]
    insecure_options: [image]

- name: The same in long forms, with pages that a named volume holds
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

- name: Run a task to its end and show what it printed
  stagecraft.pods.pod_run:
    name: migrate
    apps:
      - image: docker://registry.example.com/team/web:2.1
        exec: /bin/migrate
    wait: true
    insecure_options: [image]
  register: migration

- name: Have a pod ready, to be started later
  stagecraft.pods.pod_run:
    name: spare
    apps:
      - image: docker://registry.example.com/team/web:2.1
    state: prepared
    insecure_options: [image]

- name: A pod that exists and does not run
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

- name: No pod, and nothing left of it
  stagecraft.pods.pod_run:
    name: web
    state: absent

- name: Restart it, as a handler does when its configuration has changed
  stagecraft.pods.pod_run:
    name: web
    state: restarted
"""

RETURN = r"""
pod:
  description: The pod, null when there is none, such as in check mode before it is made.
  returned: success, and when the pod of a task with O(wait=true) fails
  type: dict
  contains:
    name:
      description: The name of the pod.
      type: str
    uuid:
      description: Its UUID. A pod that was replaced has a new one.
      type: str
    state:
      description: What it is doing, as C(podctl list) names it, such as V(running), V(prepared) or V(exited).
      type: str
    pid:
      description: The process of the host that is the first one of the pod, null when it does not run.
      type: int
    created_at:
      description: When it was prepared, in seconds since 1970.
      type: float
    started_at:
      description: When it was started, in seconds since 1970, null when it was not.
      type: float
    exit_code:
      description: What it ended with, 0 when no app failed, null when it has not ended or was killed.
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
          description: What it is doing, such as V(running) or V(exited).
          type: str
        exit_code:
          description: What it ended with, null when it has not ended.
          type: int
        finished_at:
          description: When it ended, in seconds since 1970, null when it has not ended.
          type: float
        stdout_lines:
          description: The last O(tail) lines of what it printed, those to standard output.
          returned: when O(wait=true), and not in check mode
          type: list
          elements: str
        stderr_lines:
          description: The last O(tail) lines of what it printed, those to standard error.
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
          description: The address of the pod.
          type: str
        interface:
          description: The interface in the pod.
          type: str
    labels:
      description: Its labels.
      type: dict
    problem:
      description: Why it cannot be read, empty when it can.
      type: str
rc:
  description: What the pod ended with, null when it has not ended in time or was killed.
  returned: when O(wait=true) with O(state=started) or O(state=restarted), and not in check mode
  type: int
rolled_back:
  description: Whether the old pod runs again after the new one has failed.
  returned: failure after the old pod was stopped to be replaced
  type: bool
changes:
  description:
    - Everything that was changed, or that would be in check mode. It is empty if and only if C(changed) is false.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description:
        - The option that differs, such as C(apps[0].environment.LEVEL). What the task no longer has goes by its name, such as
          C(apps.NAME); what no option stands for is C(pods.NAME), C(pods.NAME.state), C(pods.NAME.unit) or C(images.NAME).
      type: str
    before:
      description: What it was, null for what was not there. Values that may be secret are fingerprints.
      type: str
    after:
      description: What it becomes, null for what goes.
      type: str
    reason:
      description: Who wants the change, one of V(playbook), V(image), V(drift) and V(runtime).
      type: str
    impact:
      description: What it means to what runs, one of V(none), V(live), V(restart) and V(recreate).
      type: str
error:
  description:
    - The kind of an error. V(invalid-spec), the task asks for something that makes no sense, also what only the image could
      tell, such as a program that it does not have. V(not-found), something that was named does not exist. V(conflict),
      something else holds what is needed. V(untrusted), content is refused. V(unreachable), a remote did not give what was
      asked of it. V(unsupported), the host lacks something. V(corrupt), something on disk is damaged. V(host-failure), the
      operating system refused, or a program hung.
    - V(app-failed), an app has ended as it should not, with O(wait=true) or after a replacement. V(timeout), with
      O(wait=true) alone. V(bug), a mistake of this collection.
  returned: failure
  type: str
hint:
  description: What to do about an error, empty when nobody knows.
  returned: failure, but for V(timeout) of RV(error)
  type: str
facts:
  description:
    - What an error is about, for programs. What is in it depends on the error.
    - C(where) is the option that is wrong, C(path) and C(errno) what the operating system has refused.
    - C(stage) is what was being done with a pod, one of V(prepare), V(rehearse), V(start), V(run), V(stop) and V(gc).
    - C(app) is the app that it is about, with its C(exit_code) or the C(signal) that ended it, C(oom) when it has used more
      memory than it may, and its C(last_lines). C(apps) has the last lines of every app of a pod that was removed.
  returned: failure, but for V(timeout) of RV(error)
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
