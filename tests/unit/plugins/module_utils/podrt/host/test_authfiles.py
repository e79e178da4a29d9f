# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The credentials that docker and podman have kept, where the configuration names their files."""

from __future__ import annotations

import base64
import json
import os
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec, PodError
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.config import Config, read_config
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths


class Place:
    """Configuration directories, and files of docker and podman."""

    def __init__(self, base: pathlib.Path) -> None:
        self.base = base
        self.paths = Paths(local_config=f"{base}/local", system_config=f"{base}/system")

    def name(
        self, *files: object, where: str = "local", kind: str = "dockerAuthFiles", **more: object
    ) -> None:
        members = {"files": [str(file) for file in files]} if files else {}
        self.write(f"{where}/auth.d/{kind}.json", {"rktKind": kind, "rktVersion": "v1", **members, **more})

    def write(self, name: str, content: object, mode: int = 0o600) -> pathlib.Path:
        path = self.base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        path.chmod(mode)
        return path

    def config(self) -> Config:
        return read_config(self.paths)


@pytest.fixture(name="place")
def _place(tmp_path: pathlib.Path) -> Place:
    return Place(tmp_path)


def auths(**logins: str) -> dict[str, object]:
    return {
        "auths": {name: {"auth": base64.b64encode(login.encode()).decode()} for name, login in logins.items()}
    }


def test_files_of_docker_and_podman_are_read_in_their_order(place: Place) -> None:
    docker = place.write(
        "config.json", auths(**{"https://index.docker.io/v1/": "hub:a:b", "both.example.com": "u:1"})
    )
    podman = place.write("auth.json", auths(**{"both.example.com": "u:2", "quay.io:5000": "q:3"}))
    place.name(docker, podman)
    config = place.config()
    assert config.login_for(("registry-1.docker.io", "index.docker.io"), "library/x") == ("hub", "a:b")
    assert config.login_for(("both.example.com",), "x") == ("u", "1")
    assert config.login_for(("quay.io:5000",), "x") == ("q", "3")
    assert config.login_for(("quay.io",), "x") is None
    place.name(podman, docker)
    assert place.config().login_for(("both.example.com",), "x") == ("u", "2")


def test_the_longest_beginning_of_a_repository_counts(place: Place) -> None:
    file = place.write(
        "auth.json", auths(**{"quay.io": "a:a", "quay.io/team": "b:b", "quay.io/team/app": "c:c"})
    )
    place.name(file)
    config = place.config()
    found = {
        name: config.login_for(("quay.io",), name)
        for name in ("x", "team", "team/other", "team/app", "teams/x")
    }
    assert {name: login and login[0] for name, login in found.items()} == {
        "x": "a",
        "team": "b",
        "team/other": "b",
        "team/app": "c",
        "teams/x": "a",
    }


@pytest.mark.behaviour("B34", "B36")
def test_documents_count_before_files_and_local_files_before_those_of_the_system(place: Place) -> None:
    first, second = (
        place.write("a.json", auths(r="a:a", s="a:a")),
        place.write("b.json", auths(s="b:b", t="b:b")),
    )
    place.name(first, where="system")
    place.name(second, where="local")
    place.name(
        kind="dockerAuth", where="system", registries=["r"], credentials={"user": "own", "password": "p"}
    )
    config = place.config()
    assert config.login_for(("r",), "x") == ("own", "p")
    assert config.login_for(("s",), "x") == ("b", "b")
    assert config.docker_files == (str(second), str(first))


def test_helpers_are_told_apart_by_registry(place: Place) -> None:
    one = place.write(
        "one.json", {"credHelpers": {"https://index.docker.io/v1/": "hub", "a.example.com": "ecr-login"}}
    )
    two = place.write("two.json", {"credHelpers": {"a.example.com": "other", "b": ""}, "credsStore": "pass"})
    place.name(one, two)
    config = place.config()
    assert config.helpers == (("", "pass"), ("a.example.com", "ecr-login"), ("index.docker.io", "hub"))
    assert config.helper_for("registry-1.docker.io", "docker.io", "index.docker.io") == "hub"
    assert config.helper_for("c.example.com") == ""


@pytest.mark.parametrize(
    "helper", ["../x", "/bin/sh", "-x", ".x", "a b", "a\n", "\u00e9", "x" * 65, 5, ["x"], {"x": 1}, True]
)
@pytest.mark.parametrize("member", ["credsStore", "credHelpers"])
def test_a_helper_that_is_not_a_word_is_refused(place: Place, member: str, helper: object) -> None:
    place.name(place.write("config.json", {member: helper if member == "credsStore" else {"r": helper}}))
    with pytest.raises(
        InvalidSpec, match=r"config\.json: it names a credential helper that is not a plain word"
    ):
        place.config()


def test_what_a_token_has_is_left_to_docker(place: Place) -> None:
    odd = {
        "auths": {
            "helper.example.com": {},
            "token.example.com": {"identitytoken": "t"},
            "no-base64.example.com": {"auth": "%%%"},
            "no-colon.example.com": {"auth": base64.b64encode(b"user").decode()},
            "no-password.example.com": {"auth": base64.b64encode(b"user:").decode()},
            "binary.example.com": {"auth": base64.b64encode(b"\xff:x").decode()},
            "list.example.com": [],
            "good.example.com": {"auth": base64.b64encode(b"u:p\0\0").decode()},
        },
    }
    place.name(place.write("config.json", odd))
    assert place.config().of_files == (("good.example.com", ("u", "p")),)


def test_a_file_that_is_not_there_has_nothing(place: Place) -> None:
    place.name(place.base / "absent.json", place.write("empty.json", ""), place.write("no.json", "{}"))
    assert place.config().of_files == ()


@pytest.mark.parametrize("content", ["{", "[]", '{"auths": 5}', '{"credHelpers": ["secret"]}', '"secret"'])
def test_a_file_in_another_form_is_named_and_not_shown(place: Place, content: str) -> None:
    place.name(place.write("config.json", content))
    with pytest.raises(
        InvalidSpec, match=r"config\.json: they are not in the form of docker's config\.json"
    ) as err:
        place.config()
    assert "secret" not in err.value.message


@pytest.mark.parametrize("mode", [0o644, 0o620, 0o602])
def test_a_file_that_others_can_read_or_change_is_refused(place: Place, mode: int) -> None:
    place.name(place.write("config.json", auths(r="u:p"), mode))
    with pytest.raises(InvalidSpec, match=r"config\.json"):
        place.config()


def test_a_file_must_be_named_absolutely_and_be_readable(place: Place) -> None:
    place.name("config.json")
    with pytest.raises(InvalidSpec, match="is not an absolute path"):
        place.config()
    os.mkdir(place.base / "directory", 0o700)
    place.name(place.base / "directory")
    with pytest.raises(PodError, match="directory"):
        place.config()
