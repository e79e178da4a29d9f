# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin of every module of the collection: install the runtime where it is missing, and run again."""

from __future__ import annotations

import contextlib
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
    from collections.abc import Iterator, Sequence
    from typing import Any

    Options = dict[str, Any]

_INSTALLER = "stagecraft.pods.pod_runtime"
_BUILDS = "pod_image_build"
# What the archive of files for an image is called on the host.
_SOURCES = "files.tar"
_IMAGE = "stagecraft.pods.pod_image"
_CHANGED = (
    "the collection stagecraft.pods has been changed since Ansible was started, and this host lacks the runtime that "
    "it had then; run Ansible again"
)
# Ansible's message for a missing file goes on with a hint about an option that only copy has.
_OF_COPY = " on the Ansible Controller."


class ActionModule(ActionBase):
    """Run the module; if it returns runtime_missing, install the runtime with pod_runtime and run the module again."""

    TRANSFERS_FILES = False

    def run(self, tmp: object = None, task_vars: Options | None = None) -> Options:
        """Run the task."""
        name = self._task.resolved_action or self._task.action
        self._supports_async = name != _INSTALLER  # this action may run it twice
        super().run(tmp, task_vars)
        args = self._with_files(dict(self._task.args))
        if name.rsplit(".", 1)[-1] == _BUILDS:
            args = self._with_archive(args)
        self._own = kept_hash(constants.DEFAULT_LOCAL_TMP)
        wanted = args.setdefault("runtime", self._own)
        if name == _IMAGE and isinstance(args.get("src"), str) and args.get("state") != "absent":
            return self._with_src(name, args, task_vars)
        if name.rsplit(".", 1)[-1] == "pod_runtime":
            return (
                self._install(args, task_vars)
                if args.get("state", "present") == "present"
                else self._module(name, args, task_vars)
            )
        if self._task.async_val and not self._task.check_mode:
            installed = self._install({"runtime": wanted, **_directories(args)}, task_vars)
            if installed.get("failed"):
                return installed
            return self._module(name, args, task_vars, wrap_async=True)
        return self._with_runtime(name, args, task_vars)

    def _with_runtime(self, name: str, args: Options, task_vars: Options | None) -> Options:
        """Run the module, once more with the runtime where that is missing."""
        result = self._module(name, args, task_vars)
        if result.get("runtime_missing"):
            installed = self._install({"runtime": args["runtime"], **_directories(args)}, task_vars)
            if installed.get("failed"):
                return installed
            result = self._module(name, {**args, "runtime": installed["path"]}, task_vars)
        return result

    def _with_src(self, name: str, args: Options, task_vars: Options | None) -> Options:
        """Run pod_image with an image file of the controller, of which the host gets what it lacks."""
        # Every task loads this plugin again, and what few tasks need would cost each 60 ms.
        from ansible_collections.stagecraft.pods.plugins.plugin_utils import sending

        if self._task.async_val:
            raise AnsibleActionFail(
                "src: an asynchronous task cannot send a file (leave async out: the next run goes on where a broken "
                "one has ended)"
            )
        src, signature = args["src"], args.pop("signature", None)
        try:
            path = self._found("src", src)
            beside = self._found("signature", signature) if signature else f"{path}.asc"
            told = sending.signature_of(beside, signature or f"{src}.asc", given=bool(signature))
            file = sending.Outgoing(path, src, constants.DEFAULT_LOCAL_TMP)
            return sending.send(
                file,
                file.described(told),
                lambda about: self._with_runtime(name, {**args, "src_file": about}, task_vars),
                self._put,
            )
        except sending.Unsendable as err:
            raise AnsibleActionFail(str(err)) from None

    def _found(self, option: str, path: str) -> str:
        """The path of a file that a task of the controller names, as for copy. Raises AnsibleActionFail."""
        try:
            return str(self._find_needle("files", path))
        except AnsibleError as err:
            reason = str(err).partition(_OF_COPY)[0]
            raise AnsibleActionFail(
                f"{option}: cannot read {path}: {reason} (it is a file of the controller)"
            ) from None

    def _put(self, pairs: Sequence[tuple[str, str]]) -> str:
        """Send files, pairs of a path and a name, to the temporary directory of the task, and return that."""
        shell = self._connection._shell
        if not shell.tmpdir:
            self._make_tmp_path()
        places = [self._transfer_file(local, shell.join_path(shell.tmpdir, name)) for local, name in pairs]
        self._fixup_perms2((shell.tmpdir, *places))
        return str(shell.tmpdir)

    def _with_files(self, args: Options) -> Options:
        """The options, with the contents of the environment files of the controller.

        The removal of a pod needs none, and its files may no longer exist.
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
            reason = str(err).partition(_OF_COPY)[0]
            hint = "with env_file_from: host it is a file of the host"
            # Ansible would show the cause, and so the reason again.
            raise AnsibleActionFail(f"env_file[{at}]: cannot read {path}: {reason} ({hint})") from None

    def _with_archive(self, args: Options) -> Options:
        """The options, with an archive of the controller's files that go into an image, which is sent to the host."""
        from ansible_collections.stagecraft.pods.plugins.plugin_utils import packing

        files, source = args.get("files"), args.get("files_from") or "controller"
        if not isinstance(files, list) or source != "controller":
            return args
        sources = [found for found in map(self._source, range(len(files)), files) if found]
        if not sources:
            return args
        with tempfile.TemporaryDirectory() as directory:
            local = os.path.join(directory, _SOURCES)
            try:
                packing.pack(sources, local, self._decrypted)
            except packing.CannotPack as err:
                raise AnsibleActionFail(f"files[{err.number}]: {err}") from None
            except OSError as err:
                raise AnsibleActionFail(packing.why_unpacked(err, directory)) from None
            return {**args, "archive": self._sent(local, _SOURCES)}

    def _source(self, at: int, element: object) -> tuple[int, str, list[str]] | None:
        """The number, the path and the exclusions of an element with a file of the controller."""
        path = element.get("src") if isinstance(element, dict) else None
        if not isinstance(element, dict) or not isinstance(path, str):
            return None
        exclude = element.get("exclude")
        patterns = exclude if isinstance(exclude, list) else []
        try:
            return at, self._find_needle("files", path), [each for each in patterns if isinstance(each, str)]
        except AnsibleError as err:
            reason = str(err).partition(_OF_COPY)[0]
            hint = "with files_from: host it is a file of the host"
            raise AnsibleActionFail(f"files[{at}]: cannot read {path}: {reason} ({hint})") from None

    @contextlib.contextmanager
    def _decrypted(self, path: str) -> Iterator[str]:
        """The path of a file's content, decrypted if it is encrypted with Ansible Vault."""
        clear: str = self._loader.get_real_file(path)
        try:
            yield clear
        finally:
            self._loader.cleanup_tmp_file(clear)

    def _sent(self, local: str, name: str) -> str:
        """Send a file to the task's temporary directory on the host; its path there."""
        if not self._connection._shell.tmpdir:
            self._make_tmp_path()
        remote: str = self._connection._shell.join_path(self._connection._shell.tmpdir, name)
        self._transfer_file(local, remote)
        self._fixup_perms2((self._connection._shell.tmpdir, remote))
        return remote

    def _text_of(self, path: str) -> str:
        """The content of a file of the controller, decrypted if it is encrypted with Ansible Vault."""
        with self._decrypted(path) as clear, open(clear, encoding="utf-8") as file:
            return file.read()

    def _module(
        self, name: str, args: Options, task_vars: Options | None, wrap_async: bool = False
    ) -> Options:
        result: Options = self._execute_module(
            module_name=name,
            module_args=args,
            task_vars=task_vars,
            wrap_async=wrap_async and not self._connection.has_native_async,
        )
        return result

    def _install(self, args: Options, task_vars: Options | None) -> Options:
        """Install the runtime if the host lacks it. In check mode it is only unpacked, for this task."""
        args = {"libraries": _libraries(), **args}
        result = self._module(_INSTALLER, args, task_vars)
        if not result.get("archive_missing"):
            return result
        with tempfile.TemporaryDirectory() as directory:
            local = os.path.join(directory, "runtime.tar.gz")
            try:
                packed = write_archive(local)
            except LibraryMissing as err:
                raise AnsibleActionFail(str(err)) from err
            if packed != self._own:
                raise AnsibleActionFail(_CHANGED)
            remote = self._sent(local, "runtime.tar.gz")
        return self._module(_INSTALLER, {**args, "archive": remote}, task_vars)


def _libraries() -> str | None:
    """The hash of the controller's libraries, None if some are missing, which matters only to hosts without them."""
    try:
        return libraries_hash()
    except LibraryMissing:
        return None


def _directories(args: Options) -> Options:
    return {"data_dir": args["data_dir"]} if args.get("data_dir") else {}
