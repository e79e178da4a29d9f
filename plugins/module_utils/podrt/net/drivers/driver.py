# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a plugin of a network happen: what is built in, or a program. A network is a chain of plugins."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from ..member import NetMember
    from ..plugin import Plugin
    from ..result import NetResult

    class Driver(Protocol):
        """One way to make plugins happen. All raise PodError and OSError."""

        def address(self, member: NetMember) -> NetResult:
            """Get the addresses of the first plugin of a chain. Empty where the plugin does that itself."""

        def add(self, member: NetMember, plugin: Plugin, before: NetResult) -> NetResult:
            """Add the pod. before: the result of the plugins before it. Returns that with what it has done."""

        def remove(self, member: NetMember, plugin: Plugin, result: NetResult) -> None:
            """Undo add, or what was done of it. result: that of the whole chain; empty if it was never complete."""
