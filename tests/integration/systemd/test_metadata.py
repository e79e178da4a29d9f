# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The metadata service as units of systemd: the first pod that registers starts it, and a boot opens its socket."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.tests.integration.systemd.unitlab import SERVE, Units, units

__all__ = ["units"]

pytestmark = pytest.mark.light
SOCKET, SERVICE = "pods-metadata.socket", "pods-metadata.service"
ASK = (
    "rest=${AC_METADATA_URL#http://}; place=${rest%%/*}; "
    "printf 'GET /%s/acMetadata/v1/pod/uuid HTTP/1.0\\r\\n\\r\\n' ${rest#*/} | "
    "/bin/busybox nc ${place%:*} ${place#*:} | /bin/busybox tail -n 1"
)


def state(units: Units, unit: str) -> str:
    return units.ask("systemctl", "is-active", unit)


def asked(units: Units) -> tuple[str, str]:
    """The UUID of the pod, and what it gets when it asks for that."""
    uuid = units.ask("sh", "-c", "podctl list --full --no-legend | grep running | cut -f1")
    return uuid, units.ask("podctl", "enter", uuid, "/bin/busybox", "sh", "-c", ASK)


@pytest.mark.timeout(300)
def test_a_port_that_another_process_has_is_told_with_what_to_do(units: Units) -> None:
    units.ssh("systemd-run", "--unit=busy", "python3", "-m", "http.server", "28113")
    try:
        units.ask("sh", "-c", "for turn in $(seq 300); do ss -lnt | grep -q :28113 && exit; sleep 0.1; done")
        failed = units.task("pod_metadata_service", port=28113)
        assert (failed["failed"], failed["error"]) == (True, "host-failure")
        start = f"cannot start the metadata service: systemctl start {SOCKET} failed: Job "
        assert failed["msg"].startswith(start), failed
        assert failed["hint"].startswith(f"systemctl status {SOCKET} and journalctl -u {SOCKET} say why")
        units.ssh("systemctl", "stop", "busy")
        assert units.task("pod_metadata_service", port=28113)["service"]["running"]
    finally:
        units.ask("systemctl", "stop", "busy")
        units.task("pod_metadata_service", state="absent")


@pytest.mark.timeout(300)
@pytest.mark.behaviour("E26", "F1", "F2", "F6")
def test_a_socket_is_open_and_the_first_pod_starts_the_service(units: Units) -> None:
    try:
        foretold = units.task("pod_metadata_service", check=True)
        done = units.task("pod_metadata_service")
        assert foretold["changes"] == done["changes"]
        assert done["service"]["manager"] == "systemd"
        assert units.task("pod_metadata_service")["changed"] is False
        assert (state(units, SOCKET), state(units, SERVICE)) == ("active", "inactive")
        assert units.ask("stat", "-c", "%a %U", "/run/pods/metadata-svc.sock") == "600 root"

        pod = units.pod("asks", SERVE, networks=["default"], mds_register=True)
        assert not pod["failed"], pod
        assert state(units, SERVICE) == "active"
        uuid, answer = asked(units)
        assert answer == uuid == pod["pod"]["uuid"]
        units.ssh("systemctl", "restart", SERVICE)
        assert asked(units) == (uuid, uuid)
        assert "GET /TOKEN/acMetadata/v1/pod/uuid - 200" in units.ask(
            "journalctl", "-u", SERVICE, "-o", "cat"
        )

        units.lab.power_cycle(units.host)
        units.ask("systemctl", "is-system-running", "--wait")
        again, answer = asked(units)
        assert again == answer != uuid

        moved = units.task("pod_metadata_service", port=28112)
        assert [change["path"] for change in moved["changes"]] == ["metadata_service.port"]
        assert units.task("pod_metadata_service", port=28112)["changed"] is False
        units.task("pod_metadata_service", state="stopped")
        assert (state(units, SOCKET), state(units, SERVICE)) == ("inactive", "inactive")
        assert units.ask("systemctl", "is-enabled", SOCKET) == "disabled"
    finally:
        units.task("pod_metadata_service", state="absent")
    assert units.ask("systemctl", "list-unit-files", "--no-legend", "pods-metadata.*") == ""
    assert units.task("pod_metadata_service", state="absent")["changed"] is False
