# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A short form is the same value as its long form."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.options import short
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.options.reading import pod_spec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.spec import PodSpec

Options = dict[str, Any]


def pod(app: Options | None = None, **options: Any) -> Options:
    return {"name": "web", "apps": [{"image": "example.com/web", **(app or {})}], **options}


def spec_of(options: Options) -> PodSpec:
    return pod_spec(short.spread(Fields(options, "")))


def mounted(*forms: str | Options, **options: Any) -> Options:
    return pod({"mounts": list(forms)}, **options)


PAGES = {"name": "pages", "kind": "named", "volume": "pages"}
HTML = "/usr/share/nginx/html"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (pod(ports=["8080:80"]), pod(ports=[{"host_port": 8080, "port": 80}])),
        (pod(ports=[{"short": "8080:80"}]), pod(ports=[{"host_port": 8080, "port": 80}])),
        (
            pod(ports=["127.0.0.1:53:53/udp"]),
            pod(ports=[{"host_ip": "127.0.0.1", "host_port": 53, "port": 53, "protocol": "udp"}]),
        ),
        (
            pod(ports=["8000-8010:9000-9010"]),
            pod(ports=[{"host_port": 8000, "port": 9000, "protocol": "tcp", "count": 11}]),
        ),
        (pod(ports=["auto:80"]), pod(ports=[{"host_port": "auto", "port": 80}])),
        (
            pod(ports=["127.0.0.1:auto:8000-8010/udp"]),
            pod(
                ports=[
                    {
                        "host_ip": "127.0.0.1",
                        "host_port": "auto",
                        "port": 8000,
                        "protocol": "udp",
                        "count": 11,
                    }
                ]
            ),
        ),
        (pod(ports=["[::1]:80:80"]), pod(ports=[{"host_ip": "::1", "host_port": 80, "port": 80}])),
        (mounted(f"pages:{HTML}"), mounted({"volume": "pages", "target": HTML}, volumes=[PAGES])),
        (
            mounted({"short": f"pages:{HTML}:ro"}),
            mounted({"volume": "pages", "target": HTML, "read_only": True}, volumes=[PAGES]),
        ),
        (
            mounted("pages:/a:nocopy", "pages:/b:ro,nocopy"),
            mounted(
                {"volume": "pages", "target": "/a"},
                {"volume": "pages", "target": "/b", "read_only": True},
                volumes=[{**PAGES, "copy": False}],
            ),
        ),
        (
            mounted(f"pages:{HTML}", volumes=[{"name": "pages", "mode": "1777"}]),
            mounted({"volume": "pages", "target": HTML}, volumes=[{"name": "pages", "mode": "1777"}]),
        ),
        (
            mounted("/srv/x:/x:rw", "/srv/x/:/y"),
            mounted(
                {"volume": "srv-x", "target": "/x"},
                {"volume": "srv-x", "target": "/y"},
                volumes=[{"name": "srv-x", "source": "/srv/x"}],
            ),
        ),
        (
            mounted("/srv/x:/x", "/srv-x:/y", "/:/host:ro"),
            mounted(
                {"volume": "srv-x", "target": "/x"},
                {"volume": "srv-x-2", "target": "/y"},
                {"volume": "root", "target": "/host", "read_only": True},
                volumes=[
                    {"name": "srv-x", "source": "/srv/x"},
                    {"name": "srv-x-2", "source": "/srv-x"},
                    {"name": "root", "source": "/"},
                ],
            ),
        ),
        (
            # A named volume keeps its name, even if a path of the host would get it.
            mounted("//srv/x:/x", "srv-x:/y"),
            mounted(
                {"volume": "srv-x-2", "target": "/x"},
                {"volume": "srv-x", "target": "/y"},
                volumes=[
                    {"name": "srv-x-2", "source": "/srv/x"},
                    {"name": "srv-x", "volume": "srv-x"},
                ],
            ),
        ),
        (
            pod(mounts=["pages:/p"]),
            pod(mounts=[{"volume": "pages", "target": "/p"}], volumes=[PAGES]),
        ),
        (
            pod({"tmpfs": ["/run:size=16M,mode=0755", {"short": "/cache"}]}),
            pod({"tmpfs": [{"target": "/run", "size": "16M", "mode": "0755"}, {"target": "/cache"}]}),
        ),
        (pod({"user": "1000:1000"}), pod({"user": "1000", "group": "1000"})),
        (pod({"user": "/srv/a:b"}), pod({"user": "/srv/a:b"})),
        (pod({"environment": ["A=1=2", "B="]}), pod({"environment": {"A": "1=2", "B": ""}})),
        (pod(environment=["A=1"]), pod(environment={"A": "1"})),
    ],
)
def test_a_short_form_is_its_long_form(written: Options, meant: Options) -> None:
    assert spec_of(written) == spec_of(meant) == pod_spec(Fields(meant, ""))


@pytest.mark.parametrize(
    ("written", "where"),
    [
        (pod(ports=["80"]), "ports[0]"),
        (pod(ports=["8080:80/dccp"]), "ports[0]"),
        (pod(ports=["8000-8010:80"]), "ports[0]"),
        (pod(ports=["8010-8000:8010-8000"]), "ports[0]"),
        (pod(ports=[":80:80"]), "ports[0]"),
        (pod(ports=["80:80/"]), "ports[0]"),
        (pod(ports=["\u0668:80"]), "ports[0]"),
        (pod(ports=["0:80"]), "ports[0].host_port"),
        (pod(ports=["99999:80"]), "ports[0].host_port"),
        (pod(ports=["a:80:80"]), "ports[0].host_ip"),
        (pod(ports=["65000-65535:65001-65536"]), "ports[0].count"),
        (pod(ports=[{"short": "80:80", "host_ip": "::1"}]), "ports[0].short"),
        (pod(ports=[{"host_port": 80}]), "ports[0].name"),
        (pod(ports=[{"name": "http", "host_port": 80, "count": 2}]), "ports[0].count"),
        (pod(ports=[{"name": "http"}]), "ports[0].host_port"),
        (mounted("pages"), "apps[0].mounts[0]"),
        (mounted("pages:p"), "apps[0].mounts[0]"),
        (mounted(":/p"), "apps[0].mounts[0]"),
        (mounted("pages:/p:z"), "apps[0].mounts[0]"),
        (mounted("./pages:/p"), "apps[0].mounts[0]"),
        (mounted("Pages:/p"), "apps[0].mounts[0]"),
        (mounted("pages:/p:ro:rw"), "apps[0].mounts[0]"),
        (mounted("pages:/p:ro,rw"), "apps[0].mounts[0]"),
        (mounted("pages:/p:nocopy", volumes=[PAGES]), "apps[0].mounts[0]"),
        (pod(mounts=["pages"]), "mounts[0]"),
        (mounted({"target": "/p"}), "apps[0].mounts[0].volume"),
        (pod({"user": "1000:"}), "apps[0].user"),
        (pod({"user": "1:2:3"}), "apps[0].user"),
        (pod({"user": "1000:1000", "group": "1000"}), "apps[0].user"),
        (pod({"environment": ["A"]}), "apps[0].environment[0]"),
        (pod({"environment": ["A=1", "A=2"]}), "apps[0].environment[1]"),
        (pod({"environment": [{"A": "1"}]}), "apps[0].environment[0]"),
        (pod({"environment": ["1=1"]}), "apps[0].environment"),
    ],
)
def test_what_is_no_short_form_is_refused_with_its_place_and_a_cure(written: Options, where: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        spec_of(written)
    assert (caught.value.where, bool(caught.value.hint)) == (where, True)


@pytest.mark.parametrize(
    ("port", "reason", "several"),
    [
        ({"port": 80, "host_port": "8080-8090"}, "expected a whole number, found '8080-8090'", True),
        ({"port": 80, "host_port": 0}, "0 is not a port number", True),
        ({"port": 80}, "missing; expected a whole number", True),
        ({"name": "http", "host_port": "any"}, "expected a whole number, found 'any'", False),
        ({"name": "http", "host_port": 65536}, "65536 is not a port number", False),
    ],
)
def test_what_may_be_in_the_place_of_a_wrong_host_port_is_told(
    port: Options, reason: str, several: bool
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        spec_of(pod(ports=[port]))
    hint = "use 1 to 65535, or auto for one that the host chooses"
    more = "; for several in a row, give the first of them, and count" if several else ""
    assert (caught.value.reason, caught.value.hint) == (reason, hint + more)


def test_of_too_many_host_ports_it_is_told_what_would_do() -> None:
    with pytest.raises(InvalidSpec, match="10 ports from 65530 are out of range") as caught:
        spec_of(pod(ports=[{"port": 80, "host_port": 65530, "count": 10}]))
    hint = "use a lower host port or a smaller count, or auto for ports that the host chooses"
    assert (caught.value.where, caught.value.hint) == ("ports[0].host_port", hint)


def test_a_volume_that_a_short_form_declares_is_where_that_is_written() -> None:
    options = Fields(
        {
            **pod({"mounts": ["/srv/a:/a", {"short": "data:/b"}, "pages:/c", "/srv/a:/d"]}, volumes=[PAGES]),
            "mounts": ["/srv/a/:/e", "/srv/f:/f"],
        },
        "",
    )
    assert [volume.name for volume in pod_spec(short.spread(options)).volumes] == [
        "pages",
        "srv-a",
        "data",
        "srv-f",
    ]
    for written, meant in (
        ("volumes[0].volume", "volumes[0].volume"),
        ("volumes[1].source", "apps[0].mounts[0]"),
        ("volumes[2].volume", "apps[0].mounts[1]"),
        ("volumes[3].source", "mounts[1]"),
        ("volumes[4].source", "volumes[4].source"),
        ("volumes[data].propagation", "volumes[data].propagation"),
        ("volumes", "volumes"),
        ("apps[0].mounts", "apps[0].mounts"),
    ):
        assert short.written_at(options, written) == meant
