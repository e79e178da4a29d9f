# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The limits of the lists and texts of an image."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import App, EventHandler
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import ImageManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec


def image(**app: object) -> ImageManifest:
    section = {"exec": ["/x"], "user": "0", "group": "0", **app}
    document = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/a", "app": section}
    return ImageManifest.from_json(document)


def points(count: int) -> list[dict[str, str]]:
    return [{"name": f"p{at}", "path": f"/{at}"} for at in range(count)]


def ports(count: int) -> list[dict[str, object]]:
    return [{"name": f"p{at}", "protocol": "tcp", "port": 1 + at % 60_000} for at in range(count)]


def variables(count: int) -> list[dict[str, str]]:
    return [{"name": f"V{at}", "value": ""} for at in range(count)]


def isolators(count: int) -> list[dict[str, object]]:
    return [{"name": "resource/block-iops", "value": {"limit": "1"}} for _at in range(count)]


def pairs(count: int) -> dict[str, str]:
    return {f"a{at}": "" for at in range(count)}


@pytest.mark.finding("http-F7")
@pytest.mark.parametrize(
    ("name", "listed", "most"),
    [
        ("mountPoints", points, 1000),
        ("ports", ports, 65_536),
        ("environment", variables, 2000),
        ("isolators", isolators, 1000),
        ("userAnnotations", pairs, 1000),
        ("userLabels", pairs, 1000),
    ],
)
def test_what_an_image_lists_has_a_bound(name: str, listed: object, most: int) -> None:
    assert callable(listed)
    assert image(**{name: listed(most)}).app
    message = f"{most + 1} entries are more than the {most} that an image may have"
    with pytest.raises(InvalidSpec, match=message) as caught:
        image(**{name: listed(most + 1)})
    assert caught.value.where == f"app.{name}"


@pytest.mark.finding("http-F13")
@pytest.mark.parametrize(
    ("field", "where", "longest"),
    [
        ("user", "user", "u" * 4095),
        ("group", "group", "g" * 4095),
        ("working_directory", "workingDirectory", "/" + "d" * 4094),
        ("exec", "exec[0]", ("/" + "p" * 4094,)),
        ("exec", "exec[1]", ("/x", "a" * 131_071)),
        ("event_handlers", "pre-start[1]", (EventHandler("pre-start", ("/x", "a" * 131_071)),)),
    ],
    ids=["user", "group", "directory", "program", "argument", "argument of a handler"],
)
def test_texts_are_no_longer_than_the_kernel_takes(field: str, where: str, longest: object) -> None:
    app = App(("/x",), "0", "0").replace(**{field: longest})

    def longer(value: object) -> object:
        if isinstance(value, str):
            return value + "x"
        if isinstance(value, EventHandler):
            return value.replace(exec=longer(value.exec))
        assert isinstance(value, tuple)
        return (*value[:-1], longer(value[-1]))

    with pytest.raises(InvalidSpec, match="more than the") as caught:
        app.replace(**{field: longer(longest)})
    assert caught.value.where == where


@pytest.mark.finding("a4-F4")
@pytest.mark.parametrize(("name", "longest"), [("PATH", 4095), ("PATHS", 131_065)])
def test_a_variable_is_no_longer_than_the_kernel_takes(name: str, longest: int) -> None:
    """Every directory of PATH is searched, so it is no longer than a path."""
    App(("/x",), "0", "0", environment=((name, "v" * longest),))
    with pytest.raises(InvalidSpec, match="more than the") as caught:
        App(("/x",), "0", "0", environment=((name, "v" * (longest + 1)),))
    assert caught.value.where == f"environment.{name}"


@pytest.mark.finding("http-F13")
def test_bytes_count_and_not_letters() -> None:
    with pytest.raises(InvalidSpec, match="it has 4096 bytes, more than the 4095"):
        App(("/x",), "ü" * 2048, "0")


@pytest.mark.finding("a4-F10")
@pytest.mark.parametrize("member", ["name", "label"])
def test_what_stands_in_lists_has_a_bound(member: str) -> None:
    long = "n" * 3_000_000
    value = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": long if member == "name" else "a"}
    labels = [{"name": "version", "value": long}] if member == "label" else []
    with pytest.raises(InvalidSpec, match="has 3000000 characters, a name or label at most 512") as caught:
        ImageManifest.from_json({**value, "labels": labels})
    assert len(caught.value.message) < 200
