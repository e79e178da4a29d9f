# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller and a host in one process: pod_image with src, without Ansible between them."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable
from typing import Any

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks import run
from ansible_collections.stagecraft.pods.plugins.plugin_utils import sending


class Controller:
    """The files of a controller, and the host that they are sent to."""

    def __init__(self, base: pathlib.Path) -> None:
        paths = Paths(data=f"{base}/data", local_config=f"{base}/etc", system_config=f"{base}/lib")
        self.host = Host.here(paths)
        self._files, self._temporary, self._remote = base / "files", base / "run", base / "remote"
        # Called once pieces have come, before the module sees them.
        self.before_module: Callable[[], None] = lambda: None
        for path in (self._files, self._temporary, self._remote):
            path.mkdir()

    def write(self, name: str, data: bytes) -> pathlib.Path:
        """Write a file of the controller."""
        path = self._files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def forget_run(self) -> None:
        """Begin another run of Ansible."""
        shutil.rmtree(self._temporary)
        self._temporary.mkdir()

    def task(self, src: str, *, check: bool = False, trusting: bool = True, **options: object) -> Any:
        """The result of pod_image for a file. Raises PodError, Unsendable."""
        path = self._files / src
        told = sending.signature_of(f"{path}.asc", f"{src}.asc", given=False)
        file = sending.Outgoing(str(path), src, str(self._temporary))
        given = {"src": src, "insecure_options": ["image"] if trusting else [], **options}

        def module(about: dict[str, Any]) -> Any:
            if "pieces" in about:
                self.before_module()
            return run.TASKS["pod_image"](self.host, Fields({**given, "src_file": about}, ""), check)

        def put(pairs: Any) -> str:
            for local, remote in pairs:
                shutil.copy(local, self._remote / remote)
            return str(self._remote)

        return sending.send(file, file.described(told), module, put)
