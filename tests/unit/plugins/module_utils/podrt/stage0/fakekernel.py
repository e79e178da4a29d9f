# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A kernel that knows only what a test gives it, and a clock that does not wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.overlayfs import why_no_overlay
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.drift import Drift, find_drift
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.facts import host_facts, host_routes
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.firewall import published_ports
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.foreign import foreign_drops
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.network_plan import HostFacts
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.ports import is_bound
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.limits import (
    applied_limits,
    changed_limits,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.rights import rights_of
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.strays import find_strays
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.drift import is_process
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.status import is_alive


class FakeKernel:
    """host.ask in these tests. answers: by question. asked: the questions, in order."""

    def __init__(self) -> None:
        self.asked: list[Callable[..., Any]] = []
        self.answers: dict[Callable[..., Any], Any] = {
            host_facts: HostFacts(),
            host_routes: (),
            foreign_drops: (),
            why_no_overlay: "",
            is_bound: False,
            published_ports: (),
            find_drift: Drift(),
            applied_limits: (),
            changed_limits: (),
            find_strays: (),
            rights_of: (),
            is_process: True,
            is_alive: True,
        }

    def __call__(self, question: Callable[..., Any], *_args: Any, **_named: Any) -> Any:
        self.asked.append(question)
        answer = self.answers[question]
        if isinstance(answer, Exception):
            raise answer
        return answer


class FakeClock:
    """host.clock in these tests: it advances when something waits, and due events happen then.

    passed: the seconds waited so far.
    """

    def __init__(self) -> None:
        self.passed = 0.0
        self._due: list[tuple[float, Callable[[], object]]] = []

    def time(self) -> float:
        """The real time, as files have it, plus the seconds waited."""
        return time.time() + self.passed

    def monotonic(self) -> float:
        return self.passed

    def sleep(self, seconds: float, /) -> None:
        end = self.passed + seconds
        while self._due and self._due[0][0] <= end:
            self.passed, happens = self._due.pop(0)
            happens()
        self.passed = end

    def after(self, seconds: float, happens: Callable[[], object]) -> None:
        """Schedule an event in that many seconds."""
        self._due = sorted([*self._due, (self.passed + seconds, happens)], key=lambda due: due[0])
