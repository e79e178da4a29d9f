#!/usr/bin/python

# Copyright (c) 2026 the stagecraft.pods authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_runtime
short_description: Install the pod runtime on a host
version_added: 0.1.0
author:
  - the stagecraft.pods authors (@stagecraft)
description:
  - Installs the runtime that the other modules use and the Python libraries that it needs, below C(runtime/) and
    C(libraries/) of the data directory, each under its own hash. Nothing is downloaded; everything comes from the
    controller.
  - It also updates these libraries to the controller's versions on a host that has others, such as after a security
    fix. Other modules leave the libraries as they are.
  - It is optional, since the other modules install the runtime where it is missing. Use it to install C(podctl), to
    install the runtime before the first pod, and to remove it.
  - Pods keep the runtime that they were prepared with. With O(podctl), every runtime that no pod, no unit of a pod and no running task
    uses is removed.
  - With the first runtime it creates C(fingerprint.key) in the data directory, the key of the fingerprints of secrets
    in the results of this host. This module never removes it.
extends_documentation_fragment:
  - stagecraft.pods._attributes
  - stagecraft.pods._host
  - stagecraft.pods._group
options:
  state:
    description:
      - V(present) installs the runtime of this version of the collection.
      - V(absent) removes every runtime and C(podctl). It fails as long as there are pods, which RV(pods) then lists.
    type: str
    choices: [present, absent]
    default: present
  podctl:
    description:
      - Where to install the command C(podctl), an absolute path. Without it, the command is not installed.
      - O(data_dir) and O(config_dir) become the defaults of the command; C(podctl --dir=DIRECTORY) overrides the
        former.
    type: path
  make_config_dirs:
    description:
      - Whether to create the directories of the host's configuration, O(config_dir) with C(net.d), C(auth.d),
        C(paths.d), C(stage1.d), C(limits.d), C(policy.d), C(registries.d), C(trust.d) and C(trustedkeys), writable by
        root only and, except C(auth.d), readable by all users.
      - With O(state=absent) they are kept, since they may hold the only copy of their content.
    type: bool
    default: false
  libraries:
    description:
      - The hash of the versions of the controller's Python libraries. The collection sets it.
      - If the runtime uses other versions on the host, it is switched to these. This changes no pod.
      - There is no need to set it.
    version_added: 0.2.0
    type: str
  archive:
    description:
      - The archive of the runtime, packed by the controller. The collection sets it.
      - There is no need to set it.
    type: path
seealso:
  - module: stagecraft.pods.pod_info
"""

EXAMPLES = r"""
- name: Install the runtime and the command podctl
  stagecraft.pods.pod_runtime:
    podctl: /usr/local/bin/podctl
    make_config_dirs: true

- name: Remove the runtime and the command podctl
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
  returned: when O(state=absent) fails because of them
  type: list
  elements: str
changes:
  description: The changes that were made, or would be in check mode.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: What changed.
      type: str
    before:
      description: The value before.
      type: str
    after:
      description: The value after.
      type: str
    reason:
      description: The source of the change.
      type: str
    impact:
      description: The effect on running pods.
      type: str
error:
  description: The kind of the error.
  returned: failure of the task or of a pod
  type: str
  sample: invalid-spec
hint:
  description: What to do about the error.
  returned: failure of the task or of a pod
  type: str
facts:
  description: C(where) is the invalid option; C(path) and C(errno) are what the operating system refused.
  returned: failure of the task
  type: dict
  sample:
    where: data_dir
"""

import os
import stat

from ansible_collections.stagecraft.pods.plugins.module_utils._glue import install
from ansible_collections.stagecraft.pods.plugins.module_utils._glue.module import Module, refuse_relative
from ansible_collections.stagecraft.pods.plugins.module_utils._glue.options import FETCH, HOST
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import HostFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Change = dict[str, "str | None"]

# Modes of the directories below config_dir. Only root may read credentials.
_CONFIG_DIRS = {
    "": 0o755,
    "net.d": 0o755,
    "auth.d": 0o700,
    "paths.d": 0o755,
    "stage1.d": 0o755,
    "limits.d": 0o755,
    "policy.d": 0o755,
    "registries.d": 0o755,
    "trust.d": 0o755,
    "trustedkeys": 0o755,
}


_CURE = "remove them first, with pod_run and pod_gc"
_BECOME = "set become: true on the play or the task"


def _change(path: str, before: str | None, after: str | None) -> Change:
    return {"path": path, "before": before, "after": after, "reason": "playbook", "impact": "none"}


def _bring(module: Module, path: str) -> tuple[str, list[Change]]:
    """Install the runtime at path, or in check mode unpack it beside the archive. Returns its directory and changes."""
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
    """Create the configuration directories, and correct their owners and modes. Yields the changes."""
    for name, mode in _CONFIG_DIRS.items():
        path = os.path.join(module.params["config_dir"], name).rstrip("/")
        current, wanted = _ownership(path), f"directory of 0:0, {mode:04o}"
        if current == wanted:
            continue
        if not module.check_mode:
            os.makedirs(path, exist_ok=True)
            os.chown(path, 0, 0)
            os.chmod(path, mode)
        yield _change(path, current, wanted)


def _ownership(path: str) -> str | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    kind = "directory" if stat.S_ISDIR(status.st_mode) else "file"
    return f"{kind} of {status.st_uid}:{status.st_gid}, {stat.S_IMODE(status.st_mode):04o}"


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


def _refused(module: Module, err: OSError) -> None:
    """Fail as the runtime does where the kernel refuses something. Does not return."""
    present = module.params["state"] == "present"
    doing = "cannot install the runtime" if present else "cannot remove the runtime"
    hint = _BECOME if isinstance(err, PermissionError) and os.geteuid() != 0 else ""
    failure = HostFailure.of(doing, err, hint)
    module.fail_json(
        msg=failure.message + (f" ({failure.hint})" if failure.hint else ""),
        error=failure.kind,
        hint=failure.hint,
        facts=failure.facts,
    )


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
    except install.InstallError as err:
        module.fail_json(msg=f"cannot install the runtime: {err}")
    except OSError as err:
        _refused(module, err)
    diff = {
        side: "".join(f"{c['path']}: {c[side]}\n" for c in changes if c[side]) for side in ("before", "after")
    }
    module.exit_json(
        changed=bool(changes), changes=changes, **({"diff": diff} if module._diff else {}), **result
    )


if __name__ == "__main__":
    main()
