# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a request may lead, what it carries there, and how slow an answer may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    InvalidSpec,
    Unreachable,
    Untrusted,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.limits import Limits
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import http_policy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.exchange import Gate
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.http_policy import (
    ELSEWHERE,
    LINK_LOCAL,
    LOOPBACK,
    BlobMeter,
    DocumentMeter,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy

URL = "https://registry.example.com/v2/app/blobs/x"


@pytest.mark.finding("attack-F12")
@pytest.mark.parametrize(
    ("address", "zone"),
    [
        ("127.0.0.1", LOOPBACK),
        ("127.255.255.254", LOOPBACK),
        ("0.0.0.0", LOOPBACK),
        ("0.1.2.3", LOOPBACK),
        ("::1", LOOPBACK),
        ("::", LOOPBACK),
        ("::ffff:127.0.0.1", LOOPBACK),
        ("169.254.169.254", LINK_LOCAL),
        ("::ffff:169.254.169.254", LINK_LOCAL),
        ("fe80::1%eth0", LINK_LOCAL),
        ("224.0.0.1", LINK_LOCAL),
        ("fd00:ec2::254", LINK_LOCAL),
        ("100.100.100.200", LINK_LOCAL),
        ("10.0.0.1", ELSEWHERE),
        ("192.168.1.1", ELSEWHERE),
        ("fd00::1", ELSEWHERE),
        ("192.0.2.1", ELSEWHERE),
        ("2001:db8::1", ELSEWHERE),
        ("registry.example.com", ELSEWHERE),
    ],
)
def test_every_address_has_a_zone(address, zone):
    assert http_policy.zone_of(address) == zone


@pytest.mark.finding("attack-F12")
@pytest.mark.parametrize(
    ("first", "target", "may"),
    [
        (ELSEWHERE, ELSEWHERE, True),
        (ELSEWHERE, LINK_LOCAL, False),
        (ELSEWHERE, LOOPBACK, False),
        (LINK_LOCAL, ELSEWHERE, True),
        (LINK_LOCAL, LINK_LOCAL, True),
        (LINK_LOCAL, LOOPBACK, False),
        (LOOPBACK, ELSEWHERE, True),
        (LOOPBACK, LINK_LOCAL, True),
        (LOOPBACK, LOOPBACK, True),
    ],
)
def test_a_host_leads_to_its_own_zone_and_farther_but_never_nearer(first, target, may):
    assert http_policy.may_lead(first, target) is may


@pytest.mark.finding("attack-F12")
@pytest.mark.parametrize(
    ("first", "then", "refused"),
    [
        (["192.0.2.1"], ["127.0.0.1"], True),
        (["192.0.2.1"], ["192.0.2.2", "127.0.0.1"], True),
        (["192.0.2.1"], ["169.254.169.254"], True),
        (["192.0.2.1"], ["10.0.0.1"], False),
        (["10.0.0.1"], ["10.0.0.2"], False),
        (["127.0.0.1"], ["127.0.0.2"], False),
        (["127.0.0.1", "192.0.2.1"], ["127.0.0.2"], True),  # it is elsewhere as well
        (["127.0.0.1", "192.0.2.1"], ["127.0.0.1"], False),  # itself
        (["192.0.2.1"], ["::ffff:127.0.0.1"], True),
    ],
    ids=str,
)
def test_the_first_host_decides_where_the_others_may_be(first, then, refused):
    gate = Gate()
    gate.check(URL, first)
    if not refused:
        gate.check(URL, then)
        return
    with pytest.raises(Untrusted, match="a host elsewhere led to"):
        gate.check(URL, then)


HERE_TOO = ["192.0.2.1", "127.0.0.1", "::1", "169.254.169.254"]


@pytest.mark.finding("attack-F12")
@pytest.mark.parametrize(
    ("first", "then", "refused"),
    [
        ("https://a.test/v2/", "https://a.test/other", False),
        ("https://a.test/v2/", "https://A.TEST:443/other", False),
        ("https://a.test/v2/", "http://a.test/v2/", False),  # where TLS fails and plain HTTP is allowed
        ("https://a.test:5000/v2/", "http://a.test:5000/v2/", False),
        ("https://a.test/v2/", "http://a.test:2375/", True),
        ("https://a.test:5000/v2/", "http://a.test/", True),
        ("https://a.test/v2/", "https://b.test/v2/", True),
        ("https://a.test/v2/", "http://{}/v2/", True),
        ("https://a.test/v2/", "https://{}/v2/", True),
        ("https://a.test/v2/", "http://{}:2375/", True),
        ("https://me@a.test/v2/", "https://me@a.test/v2/", True),  # whose place is ambiguous
    ],
)
@pytest.mark.parametrize("address", HERE_TOO)
def test_a_host_that_is_here_too_leads_to_nothing_here_but_itself(first, then, refused, address):
    gate = Gate()
    gate.check(first, HERE_TOO)
    then = then.format(f"[{address}]" if ":" in address else address)
    if not refused or address == "192.0.2.1":
        gate.check(then, [address])
        return
    with pytest.raises(Untrusted, match="a host elsewhere led to"):
        gate.check(then, [address])


@pytest.mark.finding("attack-F12")
def test_a_host_that_changes_its_address_is_not_exempt():
    gate = Gate()
    gate.check("https://a.test/", ["192.0.2.1"])
    with pytest.raises(Untrusted, match="led to this machine"):
        gate.check("https://a.test/", ["127.0.0.1"])


@pytest.mark.finding("a4-F9")
def test_a_name_that_was_this_machine_for_a_moment_is_elsewhere_for_good():
    """The first address refused the connection, and the answer that leads here came from the second."""
    gate = Gate()
    gate.check("https://a.test:8080/v2/", ["127.0.0.1"])
    gate.check("http://a.test:8080/v2/", ["192.0.2.1"])
    with pytest.raises(Untrusted, match="a host elsewhere led to this machine"):
        gate.check("http://127.0.0.1:9090/admin", ["127.0.0.1"])


@pytest.mark.parametrize(
    ("status", "location", "target"),
    [
        (200, "https://other/", None),
        (304, "https://other/", None),
        (300, "https://other/", None),
        (302, "", None),
        (301, "https://other/x", "https://other/x"),
        (302, "/x?a=b", "https://registry.example.com/x?a=b"),
        (303, "//other/x", "https://other/x"),
        (307, "y", "https://registry.example.com/v2/app/blobs/y"),
        (308, "https://other/x#part", "https://other/x"),
        (302, "https://other:5000/x", "https://other:5000/x"),
        (302, "/\xc3\xa4", "https://registry.example.com/\xe4"),
    ],
)
def test_a_redirect_says_where_it_leads(status, location, target):
    assert http_policy.redirect_target(URL, status, location) == target


@pytest.mark.finding("attack-F12")
@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "gopher://other/x",
        "ftp://other/",
        "https://user:pw@other/",
        "https://other\\@127.0.0.1/",
        "https://other:99999/",
        "https://[::1",
        "https://other/\x00",
    ],
)
def test_a_redirect_to_anything_but_a_plain_url_is_refused(location):
    with pytest.raises(Unreachable, match="no http or https URL"):
        http_policy.redirect_target(URL, 302, location)


@pytest.mark.behaviour("B21")
@pytest.mark.finding("attack-F12")
@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("https://registry.example.com/other", True),
        ("https://registry.example.com:443/other", True),
        ("https://REGISTRY.example.com/other", True),
        ("https://registry.example.com:444/other", False),
        ("http://registry.example.com/other", False),
        ("https://cdn.example.com/other", False),
        ("https://registry.example.com.evil.example/", False),
        ("https://registry.example.com@evil.example/", False),
    ],
)
def test_credentials_are_for_one_origin(target, kept):
    headers = {"authorization": "Bearer x", "Accept": "y"}
    assert http_policy.carried(headers, URL, target) == (headers if kept else {"Accept": "y"})


@pytest.mark.behaviour("B21")
@pytest.mark.parametrize(
    ("url", "insecure", "refused"),
    [
        ("https://example.com/", (), False),
        ("http://127.0.0.1/", (), False),
        ("http://example.com/", ("http",), False),
        ("http://example.com/", ("image", "tls"), True),
        ("http://10.0.0.1/", (), True),
    ],
)
def test_plain_http_needs_a_word(url, insecure, refused):
    if not refused:
        http_policy.refuse_plain_http(url, FetchPolicy(insecure=insecure))
        return
    with pytest.raises(InvalidSpec, match="over plain http"):
        http_policy.refuse_plain_http(url, FetchPolicy(insecure=insecure))


@pytest.mark.behaviour("B21")
def test_credentials_never_travel_in_clear_text():
    for url in ("https://example.com/", "http://localhost:5000/"):
        http_policy.refuse_clear_text(url)
    with pytest.raises(Unreachable, match=r"credentials to http://example\.com/ over plain http"):
        http_policy.refuse_clear_text("http://example.com/?secret")


@pytest.mark.finding("attack-F5")
def test_a_document_has_one_end():
    meter = DocumentMeter(Limits(document_seconds=60), now=1000.0)
    meter.received(1 << 20, 30.0)
    assert meter.allowed(1030.0) == 30.0
    assert meter.allowed(1061.0) < 0


def survives(meter, gaps):
    """Whether a meter allows bytes that arrive as (seconds, count)."""
    for seconds, count in gaps:
        if seconds > meter.allowed(0.0):
            return False
        meter.received(count, seconds)
    return True


@pytest.mark.finding("attack-F5")
@pytest.mark.parametrize(
    ("gaps", "fits"),
    [
        ([(59, 60_000)], True),
        ([(61, 10**9)], False),
        ([(59, 60_000), (59, 60_000)], True),
        ([(1, 500)] * 59, True),
        ([(1, 500)] * 61, False),
        ([(1, 1100)] * 10_000, True),
        ([(1, 900)] * 10_000, False),
        ([(0.5, 2)] * 200, False),
        ([(0.001, 1 << 20)] * 1000 + [(59, 1)], True),
        ([(0.001, 1 << 20)] * 1000 + [(70, 1)], False),
        ([(0.001, 1 << 20)] * 1000 + [(1, 10)] * 70, False),
    ],
)
def test_a_blob_needs_a_least_rate_over_any_window(gaps, fits):
    assert survives(BlobMeter(Limits()), gaps) is fits


@pytest.mark.finding("attack-F5")
@given(st.lists(st.tuples(st.floats(0.001, 2), st.integers(0, 4000)), max_size=300))
def test_no_window_is_ever_slower_than_the_least_rate(gaps):
    """Against the plain definition, with the 5 % that samples cost."""
    limits = Limits(bytes_per_second=1000, rate_seconds=10)
    meter, times, at = BlobMeter(limits), [(0.0, 0)], 0.0
    for seconds, count in gaps:
        if seconds > meter.allowed(0.0):
            return
        at += seconds
        meter.received(count, seconds)
        times.append((at, count))
        if at > 10.5:
            assert sum(count for then, count in times if then >= at - seconds - 10.5) >= 10_000


@pytest.mark.finding("http-F14")
@pytest.mark.parametrize(
    ("host", "zone"),
    [
        ("%31%32%37.0.0.1", "loopback"),
        ("0", "loopback"),
        ("2130706433", "loopback"),
        ("0x7f.1", "loopback"),
        ("0177.1", "loopback"),
        ("\uff11\uff12\uff17.0.0.1", "loopback"),
        ("::127.0.0.1", "loopback"),
        ("64:ff9b::7f00:1", "loopback"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
        ("2002:7f00:1::", "loopback"),
        ("localhost.", "loopback"),
        ("x.localhost", "loopback"),
        ("2852039166", "link-local"),
        ("64:ff9b::808:808", "elsewhere"),
        ("8.8.8.8", "elsewhere"),
        ("example.com", "elsewhere"),
        ("127.0.0.1.example.com", "elsewhere"),
    ],
)
def test_an_address_that_is_written_in_a_url_is_known_in_every_spelling(host, zone):
    """A proxy resolves it, so there is nothing else to check."""
    assert http_policy.zone_of(http_policy.address_of(host)) == zone
