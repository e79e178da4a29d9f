#!/usr/bin/python

# Copyright (c) 2026 the stagecraft.pods authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_runtime
short_description: Install the runtime of pods on a host
version_added: 0.1.0
author:
  - the stagecraft.pods authors (@stagecraft)
description:
  - Installs the runtime that the other modules use, with the Python libraries that it needs, below C(runtime/) and
    C(libraries/) of the data directory, each under its own hash. Nothing is downloaded, everything comes from the
    controller.
  - It also brings the controller's versions of these libraries to a host that has others, such as after a security fix in
    one of them. Other modules leave the libraries as they are.
  - There is no need to use it, since the other modules install what is missing. Use it to have C(podctl) on the host, to
    have the runtime there before the first pod, and to remove it.
  - Pods keep the runtime that they were prepared with. With O(podctl), every runtime that no pod, no unit of a pod and no running task
    uses is removed.
  - With the first runtime it makes C(fingerprint.key) in the data directory, the key of the fingerprints that stand for
    secrets in results of this host. It stays.
extends_documentation_fragment:
  - stagecraft.pods._attributes
  - stagecraft.pods._host
  - stagecraft.pods._group
options:
  state:
    description:
      - V(present) installs the runtime of this version of the collection.
      - V(absent) removes every runtime and C(podctl), and fails as long as there is a pod; RV(pods) has the pods then.
    type: str
    choices: [present, absent]
    default: present
  podctl:
    description:
      - Where to write the command C(podctl), an absolute path. Without it, no command is written.
      - The command knows O(data_dir) and O(config_dir); C(podctl --dir=DIRECTORY) still takes another one.
    type: path
  make_config_dirs:
    description:
      - Whether to make the directories of the host's configuration, O(config_dir) with C(net.d), C(auth.d), C(paths.d),
        C(stage1.d), C(limits.d), C(policy.d) and C(trustedkeys), for root to write and, but for C(auth.d), for all to read.
      - With O(state=absent) they stay. They may hold what nobody else has.
    type: bool
    default: false
  libraries:
    description:
      - The hash of the versions of the Python libraries that the controller brings. The collection sets it.
      - Where the runtime uses other versions on the host, it gets these. No pod changes with them.
      - There is no need to set it.
    version_added: 0.2.0
    type: str
  archive:
    description:
      - The runtime as the controller has packed it. The collection sets it.
      - There is no need to set it.
    type: path
seealso:
  - module: stagecraft.pods.pod_info
"""

EXAMPLES = r"""
- name: Have the runtime and the command podctl on the host
  stagecraft.pods.pod_runtime:
    podctl: /usr/local/bin/podctl
    make_config_dirs: true

- name: Take the runtime and the command away again
  stagecraft.pods.pod_runtime:
    state: absent
    podctl: /usr/local/bin/podctl
"""

RETURN = r"""
path:
  description: The directory of the runtime.
  returned: when state is V(present)
  type: str
  sample: /var/lib/pods/runtime/0a2f3c4d5e6f708192a3b4c5d6e7f809
pods:
  description: The UUIDs of the pods that need the runtime.
  returned: when O(state=absent) fails for that
  type: list
  elements: str
changes:
  description: What was changed, or would be in check mode.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: What it is that changed.
      type: str
    before:
      description: What was there.
      type: str
    after:
      description: What is there now.
      type: str
    reason:
      description: Why it changed.
      type: str
    impact:
      description: What the change means to what runs.
      type: str
error:
  description: The kind of an error.
  returned: failure of the task or of a pod
  type: str
  sample: invalid-spec
hint:
  description: What to do about an error.
  returned: failure of the task or of a pod
  type: str
facts:
  description: C(where) is the option that is wrong.
  returned: failure caused by an option
  type: dict
  sample:
    where: data_dir
"""

import os
import stat

from ansible_collections.stagecraft.pods.plugins.module_utils._glue import install
from ansible_collections.stagecraft.pods.plugins.module_utils._glue.module import Module, refuse_relative
from ansible_collections.stagecraft.pods.plugins.module_utils._glue.options import FETCH, HOST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Change = dict[str, "str | None"]

# Beneath config_dir; credentials are nobody else's.
_CONFIG_DIRS = {
    "": 0o755,
    "net.d": 0o755,
    "auth.d": 0o700,
    "paths.d": 0o755,
    "stage1.d": 0o755,
    "limits.d": 0o755,
    "policy.d": 0o755,
    "trustedkeys": 0o755,
}


_CURE = "remove them first, with pod_run and pod_gc"


def _change(path: str, before: str | None, after: str | None) -> Change:
    return {"path": path, "before": before, "after": after, "reason": "playbook", "impact": "none"}


def _bring(module: Module, path: str) -> tuple[str, list[Change]]:
    """Install the runtime at path; in check mode unpack it beside the archive. Returns where it is and the change."""
    params, there, before = module.params, install.is_installed(path), install.libraries_of(path)
    if there and params["libraries"] in (None, before):
        return path, []
    if not params["archive"] or not params["libraries"]:
        module.exit_json(changed=False, archive_missing=True, changes=[])
    changes = [] if there else [_change("runtime", None, params["runtime"])]
    changes += [_change("libraries", before, params["libraries"])] if there else []
    if not module.check_mode:
        install.install(params["archive"], path, params["libraries"])
    elif not there:
        path = os.path.join(os.path.dirname(params["archive"]), "runtime")
        install.unpack(params["archive"], path)
    return path, changes


def _present(module: Module) -> tuple[Change, list[Change]]:
    params = module.params
    if not params["runtime"]:
        module.fail_json(
            msg="runtime is not set; use this module through ansible or ansible-playbook, which set it"
        )
    path, changes = _bring(module, install.runtime_dir(params["data_dir"], params["runtime"]))
    if params["podctl"]:
        before = install.read(params["podctl"])
        text = install.launcher_text(path, params["data_dir"], params["config_dir"])
        if before != text:
            changes.append(_change(params["podctl"], before and "another runtime's", "this runtime's"))
            if not module.check_mode:
                install.write_launcher(params["podctl"], text)
        changes += _prune(module, path)
    if params["make_config_dirs"]:
        changes += _make_config_dirs(module)
    return {"path": path}, changes


def _make_config_dirs(module: Module) -> Iterator[Change]:
    """Make what is missing of the directories, and give root what is somebody else's."""
    for name, mode in _CONFIG_DIRS.items():
        path = os.path.join(module.params["config_dir"], name).rstrip("/")
        found, wanted = _ownership(path), f"directory of 0:0, {mode:04o}"
        if found == wanted:
            continue
        if not module.check_mode:
            os.makedirs(path, exist_ok=True)
            os.chown(path, 0, 0)
            os.chmod(path, mode)
        yield _change(path, found, wanted)


def _ownership(path: str) -> str | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    kind = "directory" if stat.S_ISDIR(found.st_mode) else "file"
    return f"{kind} of {found.st_uid}:{found.st_gid}, {stat.S_IMODE(found.st_mode):04o}"


def _prune(module: Module, kept: str | None) -> list[Change]:
    remove = install.unused if module.check_mode else install.prune
    old = remove(module.params["data_dir"], kept)
    return [_change(path, "installed", None) for path in old]


def _absent(module: Module) -> tuple[Change, list[Change]]:
    data_dir, podctl = module.params["data_dir"], module.params["podctl"]
    users = install.users(data_dir)
    if users:
        pods = sorted({uuid for uuids in users.values() for uuid in uuids})
        module.fail_json(
            msg=f"pods need the runtime: {', '.join(pods)} ({_CURE})",
            error="conflict",
            hint=_CURE,
            pods=pods,
            changes=[],
        )
    changes = _prune(module, None)
    if podctl and os.path.exists(podctl):
        changes.append(_change(podctl, "present", None))
        if not module.check_mode:
            os.unlink(podctl)
    return {}, changes


def main() -> None:
    module = Module(
        argument_spec={
            **FETCH,
            **HOST,
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "podctl": {"type": "path"},
            "make_config_dirs": {"type": "bool", "default": False},
            "libraries": {"type": "str"},
            "archive": {"type": "path"},
        },
        supports_check_mode=True,
    )
    refuse_relative(module, "data_dir", "config_dir", "podctl")
    try:
        result, changes = _present(module) if module.params["state"] == "present" else _absent(module)
    except (install.InstallError, OSError) as err:
        module.fail_json(msg=f"cannot install the runtime: {err}")
    diff = {
        side: "".join(f"{c['path']}: {c[side]}\n" for c in changes if c[side]) for side in ("before", "after")
    }
    module.exit_json(
        changed=bool(changes), changes=changes, **({"diff": diff} if module._diff else {}), **result
    )


if __name__ == "__main__":
    main()
