# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metadata service of a host: units where PID 1 is systemd, else a process that is started detached."""

from __future__ import annotations

import _signal
import os

from ..contexts import suppress
from ..errors import HostFailure, Unsupported, first_of
from ..host.locks import try_lock
from ..host.reading import read_number
from ..mds import registration
from ..mds.register import service_facts
from ..mds.registration import PORT
from ..pod import documents
from ..value import Value
from . import metadata_units
from .change import Change, Difference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..host.host import Host
    from ..host.programs import Completed
    from ..mds.registration import ServiceFacts
    from .change import Plan

STATES = ("started", "stopped", "restarted", "absent")
_PLACE = "metadata_service"
_SUBJECT = "the metadata service"
# Seconds for a start and for an end, which take a fraction of one.
_SECONDS = 30.0
_POLL_SECONDS = 0.02
# How podctl begins its lines, and that of a hint.
_PREFIX, _HINT = "metadata-service: ", "hint: "
_MOST_NAMES = 10
_UNITS = {"absent": "playbook", "outdated": "runtime", "edited": "drift", "not loaded": "drift"}


class ServiceSpec(Value):
    """The service as it is to be. enabled: whether a boot starts it; None for as its state says."""

    state: str = "started"
    port: int = PORT
    enabled: bool | None = None

    @property
    def runs(self) -> bool:
        """Whether it is to run."""
        return self.state in ("started", "restarted")

    @property
    def at_boot(self) -> bool:
        """Whether a boot starts it, on hosts with systemd."""
        return self.runs if self.enabled is None else self.enabled


class ServiceStatus(Value):
    """The service as it is. manager: systemd or process. port: None where it does not run."""

    manager: str
    running: bool
    enabled: bool
    port: int | None


def read_service(host: Host) -> ServiceStatus:
    """The state of the service. Raises Conflict, Unreachable."""
    if host.runs_systemd:
        units = metadata_units.read_units(host, PORT)
        return ServiceStatus("systemd", units.active, units.enabled, units.port or None)
    facts = host.ask(service_facts, host.paths)
    return ServiceStatus("process", facts is not None, False, facts.port if facts else None)


def ensure_service(host: Host, spec: ServiceSpec) -> Plan[None]:
    """Plan: the service is as wanted. Raises Conflict, Unsupported."""
    if host.runs_systemd:
        yield from _units_plan(host, spec)
        return
    if spec.enabled:
        raise Unsupported(
            "only systemd starts the metadata service at boot, and it is not PID 1 of this host",
            "leave enabled out, and have the host's own init run podctl metadata-service",
            where="enabled",
        )
    facts = host.ask(service_facts, host.paths)
    differences = tuple(_of_process(host, spec, facts))
    if differences:
        yield ConvergeProcess(_SUBJECT, differences, spec)


def warnings_of_ports(host: Host, spec: ServiceSpec) -> tuple[str, ...]:
    """A warning of the pods that run with the URL of a service on another port, which stays in their apps."""
    if not spec.runs:
        return ()
    names = sorted(
        documents.read_outline(pod.dir).name or pod.uuid
        for pod, found in registration.running(host.paths)
        if _port_in(found.url) not in ("", str(spec.port))
    )
    if not names:
        return ()
    return (
        f"apps do not find the metadata service on its new port {spec.port} until their pods are started again: "
        f"{first_of(names, _MOST_NAMES)}",
    )


def _port_in(url: str) -> str:
    """The port of a URL as registration.public_url writes it."""
    return url.rpartition("/")[0].rpartition(":")[2]


def _of_process(host: Host, spec: ServiceSpec, facts: ServiceFacts | None) -> Iterator[Difference]:
    if facts is None:
        if spec.runs:
            yield _difference("state", "stopped", "started")
        return
    if not spec.runs:
        yield _difference("state", "started", "stopped")
        return
    if facts.port != spec.port:
        yield _difference("port", str(facts.port), str(spec.port))
    if facts.runtime != host.runtime:
        yield _difference("runtime", _named(facts.runtime), _named(host.runtime), "runtime")
    if spec.state == "restarted":
        yield _difference("state", "started", "restarted")


def _named(runtime: str) -> str:
    return os.path.basename(runtime)


def _difference(name: str, before: str | None, after: str | None, reason: str = "playbook") -> Difference:
    return Difference(f"{_PLACE}.{name}", before, after, reason)


def _units_plan(host: Host, spec: ServiceSpec) -> Plan[None]:
    units = metadata_units.read_units(host, spec.port)
    differences = tuple(_of_units(spec, units))
    if differences:
        yield ConvergeUnits(_SUBJECT, differences, spec)


def _of_units(spec: ServiceSpec, units: metadata_units.ServiceUnits) -> Iterator[Difference]:
    if spec.state == "absent":
        if units.text != "absent" or units.active:
            yield _difference("units", units.text, None)
        return
    if spec.runs and units.port and units.port != spec.port:
        yield _difference("port", str(units.port), str(spec.port))
    elif spec.runs and units.text != "as described":
        yield _difference("units", units.text, "as described", _UNITS[units.text])
    if units.enabled != spec.at_boot and (spec.runs or units.text != "absent"):
        yield _difference("enabled", _word(units.enabled), _word(spec.at_boot))
    if units.active != spec.runs:
        yield _difference("state", *(("stopped", "started") if spec.runs else ("started", "stopped")))
    elif spec.state == "restarted":
        yield _difference("state", "started", "restarted")


def _word(value: bool) -> str:
    return "true" if value else "false"


class ConvergeUnits(Change):
    """Make the units of the service as wanted."""

    spec: ServiceSpec

    def apply(self, host: Host) -> None:
        """Write, load, enable, open or close them, as far as they are not so by now. Raises Conflict, HostFailure."""
        spec = self.spec
        units = metadata_units.read_units(host, spec.port)
        if spec.state == "absent":
            metadata_units.remove(host)
        elif spec.runs and (units.text != "as described" or not units.active or spec.state == "restarted"):
            metadata_units.install(host, spec.port, enabled=spec.at_boot)
        elif units.text != "absent":
            metadata_units.enable(host, enabled=spec.at_boot)
            if not spec.runs:
                metadata_units.close(host)


class ConvergeProcess(Change):
    """Make the process of the service as wanted."""

    spec: ServiceSpec

    def apply(self, host: Host) -> None:
        """End the one that runs, and start one. Raises HostFailure."""
        _end(host)
        if self.spec.runs:
            _start(host, self.spec.port)
        elif self.spec.state == "absent":
            for path in (host.paths.mds_log, host.paths.mds_old_log):
                with suppress(FileNotFoundError):
                    os.unlink(path)


def _start(host: Host, port: int) -> None:
    argv = (*host.podctl, "metadata-service", f"--listen-port={port}", "--detach")
    done = host.programs(argv, seconds=_SECONDS, called="podctl metadata-service")
    if done.status != 0:
        reason, hint = _reason_in(done)
        raise HostFailure(f"cannot start the metadata service: {reason}", hint)


def _reason_in(done: Completed) -> tuple[str, str]:
    """What podctl has said last, which is why it failed, and its hint. It has a log only once it serves."""
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    told = [line.removeprefix(_PREFIX) for line in lines]
    hints = [line.removeprefix(_HINT) for line in told if line.startswith(_HINT)]
    reasons = [line for line in told if not line.startswith(_HINT)]
    return (reasons or [done.complaint])[-1], (hints or [""])[-1]


def _end(host: Host) -> None:
    """Ask the process that holds the lock to end, and wait for that. Raises HostFailure."""
    try:
        fd = os.open(host.paths.mds_pid, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        end = host.clock.monotonic() + _SECONDS
        while not try_lock(fd):
            pid = read_number(host.paths.mds_pid)
            if pid:
                _ask_to_end(pid, fd)
            if host.clock.monotonic() > end:
                raise HostFailure(
                    f"the metadata service, process {pid}, has not ended", "end it by hand", pid=pid
                )
            host.clock.sleep(_POLL_SECONDS)
    finally:
        os.close(fd)


def _ask_to_end(pid: int, lock: int) -> None:
    """Signal the process, if the lock is still held once it cannot be another one that has got the number."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not try_lock(lock):
            _signal.pidfd_send_signal(process, _signal.SIGTERM)
    except ProcessLookupError:
        return
    finally:
        os.close(process)
