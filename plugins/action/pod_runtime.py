# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action behind every module of the collection: where a host lacks the runtime, install it and try again."""

from __future__ import annotations

import os
import tempfile

from ansible import constants
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.stagecraft.pods.plugins.plugin_utils.runtime import (
    LibraryMissing,
    kept_hash,
    libraries_hash,
    write_archive,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Options = dict[str, Any]

_INSTALLER = "stagecraft.pods.pod_runtime"
_CHANGED = (
    "the collection stagecraft.pods has been changed since Ansible was started, and this host lacks the runtime that "
    "it had then; run Ansible again"
)
# What follows in the message for a file that is not found is about an option that only copy has.
_OF_COPY = " on the Ansible Controller."


class ActionModule(ActionBase):
    """Run the module; on runtime_missing run pod_runtime with the whole runtime, then the module again."""

    TRANSFERS_FILES = False

    def run(self, tmp: object = None, task_vars: Options | None = None) -> Options:
        """Run the task."""
        name = self._task.resolved_action or self._task.action
        self._supports_async = name != _INSTALLER  # which this action talks to twice
        super().run(tmp, task_vars)
        args = self._with_files(dict(self._task.args))
        self._own = kept_hash(constants.DEFAULT_LOCAL_TMP)
        wanted = args.setdefault("runtime", self._own)
        if name.rsplit(".", 1)[-1] == "pod_runtime":
            return (
                self._install(args, task_vars)
                if args.get("state", "present") == "present"
                else self._module(name, args, task_vars)
            )
        if self._task.async_val and not self._task.check_mode:
            found = self._install({"runtime": wanted, **_directories(args)}, task_vars)
            return found if found.get("failed") else self._module(name, args, task_vars, wrap_async=True)
        result = self._module(name, args, task_vars)
        if result.get("runtime_missing"):
            found = self._install({"runtime": wanted, **_directories(args)}, task_vars)
            if found.get("failed"):
                return found
            result = self._module(name, {**args, "runtime": found["path"]}, task_vars)
        return result

    def _with_files(self, args: Options) -> Options:
        """Options with the contents of the files of variables that are this controller's.

        A pod that is to go needs none, and its files may have gone before it.
        """
        files, source = args.get("env_file"), args.get("env_file_from") or "controller"
        if not isinstance(files, list) or source != "controller" or args.get("state") == "absent":
            return args
        return {**args, "env_file": [self._with_content(*each) for each in enumerate(files)]}

    def _with_content(self, at: int, element: object) -> object:
        path = element.get("short") if isinstance(element, dict) else element
        if not isinstance(path, str) or (isinstance(element, dict) and element.get("content") is not None):
            return element
        try:
            return {"short": path, "content": self._text_of(self._find_needle("files", path))}
        except UnicodeDecodeError:
            raise AnsibleActionFail(f"env_file[{at}]: {path} is not UTF-8 (name a file of text)") from None
        except (AnsibleError, OSError) as err:
            reason = str(err).partition(_OF_COPY)[0]  # and not once more as the cause, which Ansible shows
            hint = "with env_file_from: host it is a file of the host"
            raise AnsibleActionFail(f"env_file[{at}]: cannot read {path}: {reason} ({hint})") from None

    def _text_of(self, path: str) -> str:
        """The content of a file of the controller, decrypted where it is a vault."""
        found = self._loader.get_real_file(path)
        try:
            with open(found, encoding="utf-8") as file:
                return file.read()
        finally:
            self._loader.cleanup_tmp_file(found)

    def _module(
        self, name: str, args: Options, task_vars: Options | None, wrap_async: bool = False
    ) -> Options:
        found: Options = self._execute_module(
            module_name=name,
            module_args=args,
            task_vars=task_vars,
            wrap_async=wrap_async and not self._connection.has_native_async,
        )
        return found

    def _install(self, args: Options, task_vars: Options | None) -> Options:
        """Ask whether the runtime is there; bring it if not. In check mode it is only unpacked, for this task."""
        args = {"libraries": _libraries(), **args}
        found = self._module(_INSTALLER, args, task_vars)
        if not found.get("archive_missing"):
            return found
        if not self._connection._shell.tmpdir:
            self._make_tmp_path()
        remote = self._connection._shell.join_path(self._connection._shell.tmpdir, "runtime.tar.gz")
        with tempfile.TemporaryDirectory() as directory:
            local = os.path.join(directory, "runtime.tar.gz")
            try:
                packed = write_archive(local)
            except LibraryMissing as err:
                raise AnsibleActionFail(str(err)) from err
            if packed != self._own:
                raise AnsibleActionFail(_CHANGED)
            self._transfer_file(local, remote)
        self._fixup_perms2((self._connection._shell.tmpdir, remote))
        return self._module(_INSTALLER, {**args, "archive": remote}, task_vars)


def _libraries() -> str | None:
    """The hash of this controller's libraries; None where some are missing, which matters only to a host without."""
    try:
        return libraries_hash()
    except LibraryMissing:
        return None


def _directories(args: Options) -> Options:
    return {"data_dir": args["data_dir"]} if args.get("data_dir") else {}
