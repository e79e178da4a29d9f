# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The name servers of the host, as pods get them."""

from __future__ import annotations

import os
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net import servers
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.ipam import NetDns

STUB = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan.example\n"


@pytest.fixture
def host(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setattr(servers, "RESOLV", str(tmp_path / "resolv.conf"))
    monkeypatch.setattr(servers, "_BEHIND", (str(tmp_path / "resolved"), str(tmp_path / "manager")))
    return tmp_path


def of_pod(shares_network: bool = False) -> tuple[str, ...]:
    return servers.host_servers(shares_network=shares_network).dns.nameservers


def test_a_resolv_conf_is_read_as_the_c_library_does() -> None:
    text = "# c\n; c\nnameserver 10.0.0.1 # more\nnameserver\ndomain a.example\nsearch b.example c.example\n"
    text += "options ndots:2\nnameserver 10.0.0.1\nnameserver fd00::1\noptions edns0\nunknown x\n \n"
    assert servers.parse_resolv(text) == NetDns(
        ("10.0.0.1", "fd00::1"), "", ("b.example", "c.example"), ("ndots:2", "edns0")
    )
    assert servers.parse_resolv("search a\ndomain b c\n") == NetDns((), "b")
    assert servers.parse_resolv("") == NetDns()


@pytest.mark.parametrize(
    ("own", "behind", "found"),
    [
        ("nameserver 10.0.0.1\n", "", ["10.0.0.1"]),
        (STUB, "nameserver 10.0.0.2\nnameserver fd00::2\n", ["10.0.0.2", "fd00::2"]),
        ("nameserver ::1\nnameserver 10.0.0.1\n", "nameserver 10.0.0.2\n", ["10.0.0.1", "10.0.0.2"]),
        ("nameserver ::1\nnameserver 10.0.0.1\n", "", ["10.0.0.1"]),
        (STUB, "nameserver 127.0.0.1\n", []),
        ("nameserver fe80::1%eth0\nnameserver 10.0.0.1\n", "", ["10.0.0.1"]),
        ("nameserver 0.0.0.0\n", "", []),
        ("", "nameserver 10.0.0.2\n", []),
    ],
    ids=["real", "stub", "both", "one real", "stub of a stub", "of a link", "any", "none"],
)
def test_servers_that_pods_do_not_reach_are_replaced(
    host: pathlib.Path, own: str, behind: str, found: list[str]
) -> None:
    (host / "resolv.conf").write_text(own)
    if behind:
        (host / "resolved").write_text(behind)
    assert list(of_pod()) == found
    assert list(of_pod(shares_network=True)) == list(servers.parse_resolv(own).nameservers)


def test_other_managers_of_a_stub_are_asked_too(host: pathlib.Path) -> None:
    (host / "resolv.conf").write_text(STUB)
    (host / "manager").write_text("nameserver 10.0.0.3\nsearch else.example\n")
    found = servers.host_servers(shares_network=False)
    assert found.text == (
        f"{servers.HEADER}\n\nsearch lan.example\nnameserver 10.0.0.3\noptions edns0 trust-ad\n"
    )
    assert found.warning == ""


def test_servers_that_nobody_knows_are_a_warning(host: pathlib.Path) -> None:
    assert servers.server_warning(shares_network=False) == ""
    (host / "resolv.conf").write_text(STUB)
    found = servers.host_servers(shares_network=False)
    assert (found.text, "127.0.0.53" in found.warning) == ("", True)
    assert servers.server_warning(shares_network=True) == ""


@pytest.mark.parametrize(
    "text", ["nameserver 10.0.0.1\n", "nameserver 10.0.0.1\nnameserver 10.0.0.2\n" * 9, ""]
)
def test_a_file_is_rewritten_and_never_gets_shorter(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "servers"
    before = f"{servers.HEADER}\nnameserver 192.0.2.1\n"
    path.write_text(before)
    with path.open("r+b") as file:
        servers.rewrite(file.fileno(), text)
    found = path.read_text()
    assert found.rstrip("\n") == text.rstrip("\n")
    assert len(found) == max(len(before), len(text))


def test_a_file_that_was_blown_up_is_cut(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "servers"
    path.touch()
    os.truncate(path, 1 << 40)
    with path.open("r+b") as file:
        servers.rewrite(file.fileno(), "nameserver 10.0.0.1\n")
    assert path.stat().st_size < 1 << 20
