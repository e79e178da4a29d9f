# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the name of an image to its URLs and those of keys."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    InvalidSpec,
    NotFound,
    PodError,
    Unreachable,
    Untrusted,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import machine
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.limits import Limits
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import (
    discovery,
    keysource,
    transport,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.discovery import ImageEndpoint
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_appc_name
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import (
    configure,
)

FULL = "https://s.example/{os}/{arch}/{name}-{version}.{ext}"


def tag(content, kind="ac-discovery"):
    return f'<meta name="{kind}" content="{content}">'


def keys(content):
    return tag(content, "ac-discovery-pubkeys")


def endpoints(page, text="example.com/app:1.0", **options):
    found, complaints = discovery.image_endpoints(page.encode(), parse_appc_name(text), "amd64", **options)
    return [endpoint.url for endpoint in found], complaints


class Pages:
    """The pages of a host that does not exist. asked: the URLs so far."""

    def __init__(self, **pages):
        self.asked = []
        self.pages = pages

    def __call__(self, url):
        self.asked.append(url.replace("?ac-discovery=1", ""))
        page = self.pages.get(self.asked[-1], self.pages.get("other", 404))
        if isinstance(page, PodError):
            raise page
        return (page, b"") if isinstance(page, int) else (200, page.encode())


def at(pages, **others):
    return Pages(**{**pages, **others})


# --- tags, pure ---


@pytest.mark.behaviour("B6", "B13", "B24")
@pytest.mark.parametrize(
    ("text", "template", "url"),
    [
        ("example.com/app:1.0", FULL, "https://s.example/linux/amd64/example.com/app-1.0.aci"),
        ("example.com/app", FULL, "https://s.example/linux/amd64/example.com/app-latest.aci"),
        ("example.com/app:2,os=x,arch=y", FULL, "https://s.example/x/y/example.com/app-2.aci"),
        ("example.com/app,c=beta", "https://h/{c}/{c}.{ext}", "https://h/beta/beta.aci"),
        ("example.com/app,name=other,ext=zip", "https://h/{name}.{ext}", "https://h/example.com/app.aci"),
        ("example.com/app:1.0+build", "https://h/{version}?e={ext}", "https://h/1.0+build?e=aci"),
        # A value stays what it is: it begins neither a query nor a fragment.
        ("example.com/app,c=a?b#c%2F{ext}", "https://h/{c}.{ext}", "https://h/a%3Fb%23c%252F%7Bext%7D.aci"),
        ("example.com/app", "http://localhost/{name}.{ext}", "http://localhost/example.com/app.aci"),
        ("example.com/app", "https://h/fixed", "https://h/fixed"),
        ("example.com/app", "https://h/}{.{ext}", "https://h/}{.aci"),
    ],
)
def test_a_template_is_filled(text, template, url):
    assert endpoints(tag(f"example.com/app {template}"), text) == ([url], [])


@pytest.mark.behaviour("B24")
def test_the_signature_has_the_extension_of_one():
    found, _complaints = discovery.image_endpoints(
        tag(f"example.com {FULL}").encode(), parse_appc_name("example.com/app"), "aarch64"
    )
    url = "https://s.example/linux/aarch64/example.com/app-latest.aci"
    assert found == (ImageEndpoint(url, f"{url}.asc"),)


@pytest.mark.behaviour("B6")
@pytest.mark.parametrize("known", machine.ARCHITECTURES, ids=lambda known: known.machine)
def test_the_defaults_are_labels_of_the_host(known):
    labels = discovery.labels_asked(parse_appc_name("app"), known.name)
    assert dict(labels.pairs) == {"os": "linux", "arch": known.name}


@pytest.mark.behaviour("B13")
@pytest.mark.parametrize(
    ("prefix", "fits"),
    [
        ("example.com", True),
        ("example.com/app", True),
        ("example.com/ap", True),
        ("example.com/app/", False),
        ("example.com/apple", False),
        ("Example.com", False),
        ("xample.com", False),
    ],
)
def test_a_prefix_is_compared_as_text(prefix, fits):
    found, complaints = endpoints(tag(f"  {prefix}\n https://h/a.{{ext}} "))
    assert (found, complaints) == (["https://h/a.aci"] if fits else [], [])


@pytest.mark.behaviour("B13")
@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        (
            "https://h/{channel}/{name}.{ext}",
            "no label gives {channel} of the template https://h/{channel}/{name}",
        ),
        ("https://h/{{name}}.{ext}", "no label gives {example.com/app}"),
        ("https://h/{}", "no label gives {}"),
        ("hdfs://h/{name}.{ext}", "hdfs://h/example.com/app.aci is no http or https URL"),
        ("/{name}.{ext}", "/example.com/app.aci is no http or https URL"),
        ("https://user:secret@h/{name}.{ext}", "https://h/example.com/app.aci is no http or https URL"),
        ("https://h\\x/{name}.{ext}", "is no http or https URL"),
        ("https://h:x/{name}.{ext}", "is no http or https URL"),
        ("http://h/{name}.{ext}", "http://h/example.com/app.aci is plain http"),
        ("https://h/" + "x" * 4096, "a template has 4106 characters"),
        ("https://h/" + "{name}" * 600, "a URL has 9010 characters"),
    ],
)
def test_a_tag_that_cannot_be_used_is_skipped_with_its_reason(template, complaint):
    page = tag(f"example.com {template}") + tag("example.com https://h/second.{ext}")
    found, complaints = endpoints(page)
    assert found == ["https://h/second.aci"]
    assert len(complaints) == 1
    assert complaint in complaints[0]
    assert "secret" not in complaints[0]


def test_a_page_of_braces_costs_no_time():
    name = f"example.com/{'a' * 200}"
    page = tag(f"example.com {'{' * 2000}{'{name}' * 340}") * 100
    begin = time.process_time()
    found, complaints = endpoints(page, name)
    assert time.process_time() - begin < 10
    assert (found, len(complaints)) == ([], 100)


def test_plain_http_is_for_callers_that_allow_it():
    assert endpoints(tag("example.com http://h/a.{ext}"), http=True) == (["http://h/a.aci"], [])


@pytest.mark.parametrize("content", ["", "example.com", "https://h/{name}.{ext}", " example.com "])
def test_a_tag_without_prefix_or_template_counts_for_nothing(content):
    assert endpoints(tag(content)) == ([], [])


def test_the_order_is_that_of_the_page_and_each_place_counts_once_and_not_too_many_do():
    page = "".join(tag(f"example.com https://h/{place}.{{ext}}") for place in "cabac")
    assert endpoints(page)[0] == ["https://h/c.aci", "https://h/a.aci", "https://h/b.aci"]
    assert len(endpoints("".join(tag(f"example.com https://h/{n}") for n in range(5000)))[0]) == 100


@given(st.text(alphabet="{}naeoxt:/.?#@%\\ ", max_size=40), st.text(alphabet="{}a?#/@\\% é\n", max_size=10))
def test_a_usable_url_is_one_that_the_transport_takes(template, value):
    image = parse_appc_name("example.com/app,x=1")
    image = image.replace(labels=image.labels.replace(pairs=(("x", value.replace(",", "")),)))
    found, _complaints = discovery.image_endpoints(
        tag(f"example.com https://h/{template}").replace("\n", "").encode(), image, "amd64"
    )
    for endpoint in found:
        assert endpoint.url.startswith("https://h/")
        assert "{" not in endpoint.url or "}" not in endpoint.url.split("{", 1)[1]


@pytest.mark.behaviour("B14")
def test_keys_have_their_own_tags_without_variables():
    page = (
        tag("example.com https://h/{name}.{ext}")
        + keys("example.com https://h/b.gpg")
        + keys("example.com/app https://h/a.gpg?x=y")
        + keys("example.com/other https://h/other.gpg")
        + keys("example.com http://h/plain.gpg")
    )
    assert discovery.key_urls(page.encode(), "example.com/app") == (
        ("https://h/b.gpg", "https://h/a.gpg?x=y"),
        ["http://h/plain.gpg is plain http"],
    )


# --- pages ---


@pytest.mark.behaviour("B12")
def test_pages_are_asked_for_from_the_whole_name_up_to_the_host():
    pages = Pages()
    with pytest.raises(NotFound, match=r'discovery failed for "example.com/a/b": no endpoints') as caught:
        discovery.discover_images(pages, parse_appc_name("example.com/a/b:1"), "amd64")
    assert pages.asked == ["https://example.com/a/b", "https://example.com/a", "https://example.com"]
    assert "https://example.com/a?ac-discovery=1: bad HTTP status code: 404" in str(caught.value)
    assert caught.value.facts["tried"] == [f"{url}?ac-discovery=1" for url in pages.asked]


@pytest.mark.behaviour("B12", "B13")
@pytest.mark.parametrize(
    "useless", [404, 403, 500, 204, "", tag("example.org https://h/{ext}"), keys("e https://h")]
)
def test_the_first_page_with_something_usable_ends_the_search(useless):
    pages = at(
        {
            "https://example.com/a/b": useless,
            "https://example.com/a": tag("example.com https://h/a.{ext}"),
            "https://example.com": tag("example.com https://h/host.{ext}"),
        }
    )
    found = discovery.discover_images(pages, parse_appc_name("example.com/a/b"), "amd64")
    assert [endpoint.url for endpoint in found] == ["https://h/a.aci"]
    assert pages.asked == ["https://example.com/a/b", "https://example.com/a"]


@pytest.mark.behaviour("B12")
def test_plain_http_comes_after_https_and_only_if_it_is_allowed():
    page = {"http://example.com": tag("example.com http://h/a.{ext}")}
    with pytest.raises(NotFound):
        discovery.discover_images(at(page), parse_appc_name("example.com"), "amd64")
    pages = at(page)
    found = discovery.discover_images(pages, parse_appc_name("example.com"), "amd64", http=True)
    assert [endpoint.url for endpoint in found] == ["http://h/a.aci"]
    assert pages.asked == ["https://example.com", "http://example.com"]
    pages = at(page, **{"https://example.com": tag("example.com https://h/b.{ext}")})
    assert discovery.discover_images(pages, parse_appc_name("example.com"), "amd64", http=True)[0].url == (
        "https://h/b.aci"
    )


@pytest.mark.behaviour("B14")
def test_a_search_for_keys_goes_on_where_one_for_images_ends():
    pages = at(
        {
            "https://example.com/app": tag("example.com https://h/a.{ext}"),
            "https://example.com": keys("example.com https://h/a.gpg"),
        }
    )
    assert discovery.discover_keys(pages, "example.com/app") == ("https://h/a.gpg",)
    with pytest.raises(NotFound, match=r"no public keys discovered: .*it has no public keys for this name"):
        discovery.discover_keys(at({"https://example.com": ""}), "example.com")


def test_a_host_that_gives_no_answer_is_not_asked_for_ever():
    pages = Pages(other=Unreachable("no route", "check it"))
    with pytest.raises(Unreachable, match=r"no page of its host can be read: .*no route") as caught:
        discovery.discover_images(pages, parse_appc_name("example.com/a/b/c/d"), "amd64", http=True)
    assert pages.asked == [
        "https://example.com/a/b/c/d",
        "http://example.com/a/b/c/d",
        "https://example.com/a/b/c",
        "http://example.com/a/b/c",
    ]
    assert str(caught.value).count("no route") == 4


def test_one_page_that_breaks_is_no_reason_to_end_the_search():
    pages = at(
        {
            "https://example.com/a/b": Untrusted("led elsewhere"),
            "https://example.com/a": 404,
            "https://example.com": tag("example.com https://h/a.{ext}"),
        }
    )
    assert discovery.discover_images(pages, parse_appc_name("example.com/a/b"), "amd64")


def test_the_reasons_of_tags_are_told_but_not_all_of_many():
    page = "".join(tag(f"example.com https://h/{{x{number}}}") for number in range(50))
    with pytest.raises(NotFound, match=r"no label gives {x0} .*, and 47 more of this kind") as caught:
        discovery.discover_images(at({"https://example.com": page}), parse_appc_name("example.com"), "amd64")
    assert "{x3}" not in str(caught.value)


def test_a_name_of_too_many_parts_costs_no_request():
    pages = Pages()
    with pytest.raises(InvalidSpec, match="has 33 parts"):
        discovery.discover_keys(pages, "/".join(["a"] * 33))
    assert pages.asked == []


# --- a real server ---


def ask_with(headers=lambda _url: {}, *insecure):
    return discovery.page_asker(transport.Transport(FetchPolicy(insecure=insecure), Limits()), headers)


@pytest.mark.behaviour("B12", "B15", "B37")
def test_a_real_page_is_read_over_https_with_the_headers_of_its_host(servers):
    address, plain, secure = servers
    name = parse_appc_name(f"{address}/team/app:1.0")

    def answer(_method, path, headers):
        if headers.get("authorization") != "Bearer x":
            return 401, {}, b""
        if path == "/team?ac-discovery=1":
            return 302, {"Location": "/moved"}, b""
        if path == "/moved":
            return 200, {}, tag(f"{address} https://{address}/{{name}}.{{ext}}").encode()
        return 404, {}, b""

    secure.answer = answer
    found = discovery.discover_images(ask_with(lambda _url: {"Authorization": "Bearer x"}), name, "amd64")
    url = f"https://{address}/{address}/team/app.aci"
    assert found == (ImageEndpoint(url, f"{url}.asc"),)
    assert [path for _method, path, _headers in secure.asked] == [
        "/team/app?ac-discovery=1",
        "/team?ac-discovery=1",
        "/moved",
    ]
    with pytest.raises(NotFound, match="bad HTTP status code: 401"):
        discovery.discover_images(ask_with(), name, "amd64")
    assert plain.asked == []


@pytest.mark.behaviour("B12", "B37")
def test_a_real_page_is_read_over_http_only_if_that_is_allowed_and_without_credentials(servers):
    address, plain, secure = servers
    page = keys(f"{address} http://{address}/a.gpg")
    plain.answer = lambda *_other: (200, {}, page.encode())
    ask = ask_with(lambda _url: {"Authorization": "Bearer x"}, "http")
    with pytest.raises(NotFound, match="bad HTTP status code: 404"):
        discovery.discover_keys(ask, f"{address}/app")
    assert plain.asked == []
    assert discovery.discover_keys(ask, f"{address}/app", http=True) == (f"http://{address}/a.gpg",)
    assert ["authorization" in headers for _method, _path, headers in plain.asked] == [False]
    assert all("authorization" in headers for _method, _path, headers in secure.asked)


def test_a_real_server_of_an_unknown_authority_is_not_asked(servers, monkeypatch):
    address, plain, secure = servers
    monkeypatch.setattr(transport, "_ROOTS", ())
    with pytest.raises(Unreachable, match="certificate"):
        discovery.discover_keys(ask_with(), f"{address}/app")
    assert secure.asked == plain.asked == []
    secure.answer = lambda *_other: (200, {}, keys(f"{address} https://h/a.gpg").encode())
    unsafe = ask_with(lambda _url: {}, "tls")
    assert discovery.discover_keys(unsafe, f"{address}/app") == ("https://h/a.gpg",)


@pytest.mark.behaviour("B14", "B37")
def test_the_keys_of_a_prefix_are_found_with_the_credentials_and_the_policy_of_the_host(servers, host):
    address, plain, secure = servers
    configure(host, "auth", domains=[address], type="oauth", credentials={"token": "t"})
    page = keys(f"{address} https://{address}/a.gpg")

    def of_host(*insecure):
        policy = FetchPolicy(insecure=insecure)
        return keysource.discover_keys(host, f"{address}/app", policy, keysource.session(host, policy))

    secure.answer = lambda _method, _path, headers: (
        (200, {}, page.encode()) if headers.get("authorization") == "Bearer t" else (401, {}, b"")
    )
    found = of_host()
    assert (found, plain.asked) == ((f"https://{address}/a.gpg",), [])
    secure.answer = lambda *_other: (404, {}, b"")
    plain.answer = lambda *_other: (200, {}, page.encode())
    with pytest.raises(NotFound, match="no public keys discovered"):
        of_host()
    assert plain.asked == []
    assert of_host("http") == found
