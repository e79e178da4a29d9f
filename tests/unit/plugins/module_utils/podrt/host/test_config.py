# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Configuration documents: their meaning, their precedence, their errors."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import HostFailure, InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.config import (
    Config,
    Credentials,
    configured_isolators,
    configured_limits,
    configured_paths,
    read_config,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.limits import MEMBERS, Limits
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths

BASIC = {
    "rktKind": "auth",
    "rktVersion": "v1",
    "domains": ["example.com", "other.org:8080"],
    "type": "basic",
    "credentials": {"user": "u", "password": "p"},
}
DOCKER = {
    "rktKind": "dockerAuth",
    "rktVersion": "v1",
    "registries": ["quay.io"],
    "credentials": {"user": "u", "password": "p"},
}
PATHS = {"rktKind": "paths", "rktVersion": "v1", "data": "/data", "stage1-images": "/images"}


class Dirs:
    """Three configuration directories to write into."""

    def __init__(self, base: pathlib.Path) -> None:
        self.paths = Paths(
            system_config=f"{base}/system", local_config=f"{base}/local", user_config=f"{base}/user"
        )
        self._base = base

    def write(self, place: str, content: object) -> pathlib.Path:
        path = self._base / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        path.chmod(0o600)
        return path

    def read(self) -> Config:
        return read_config(self.paths)

    def refusal(self) -> str:
        with pytest.raises(InvalidSpec) as caught:
            self.read()
        assert caught.value.where == "", "podctl would leave it out"
        return caught.value.message


@pytest.fixture
def dirs(tmp_path: pathlib.Path) -> Dirs:
    return Dirs(tmp_path)


@pytest.mark.behaviour("B33", "B59")
def test_nothing_configured_is_fine(dirs: Dirs) -> None:
    assert dirs.read() == Config()
    assert configured_paths(dirs.paths).data_dir == ""


@pytest.mark.behaviour("B35", "B56")
@pytest.mark.parametrize(
    ("kind", "credentials"), [("basic", {"user": "u", "password": "p"}), ("oauth", {"token": "t"})]
)
def test_a_domain_has_credentials(dirs: Dirs, kind: str, credentials: dict[str, str]) -> None:
    dirs.write("local/auth.d/a.json", {**BASIC, "type": kind, "credentials": credentials})
    found = dict(dirs.read().auth)
    assert found["other.org:8080"] == Credentials(kind, **credentials)
    assert "other.org" not in found


@pytest.mark.behaviour("B36", "B57")
def test_a_registry_has_credentials(dirs: Dirs) -> None:
    dirs.write("local/auth.d/a.json", {**DOCKER, "registries": ["quay.io", "index.docker.io"]})
    config = dirs.read()
    assert config.docker_credentials("quay.io") == ("u", "p")
    assert config.docker_credentials("registry-1.docker.io", "index.docker.io") == ("u", "p")
    assert config.docker_credentials("example.com") is None


@pytest.mark.behaviour("A9", "B34")
def test_the_user_wins_over_the_local_over_the_system_directory_entry_by_entry(dirs: Dirs) -> None:
    dirs.write("system/auth.d/a.json", BASIC)
    local = {**BASIC, "domains": ["example.com"], "type": "oauth", "credentials": {"token": "t"}}
    dirs.write("local/auth.d/a.json", local)
    dirs.write("system/paths.d/p.json", PATHS)
    dirs.write("user/paths.d/p.json", {"rktKind": "paths", "rktVersion": "v1", "data": "/mine"})
    config = dirs.read()
    assert [type_of.type for _domain, type_of in config.auth] == ["oauth", "basic"]
    assert (config.data_dir, config.stage1_images) == ("/mine", "/images")
    assert configured_paths(dirs.paths).data_dir == "/mine"


@pytest.mark.behaviour("B36", "B58")
def test_a_default_stage1(dirs: Dirs) -> None:
    stage1 = {
        "rktKind": "stage1",
        "rktVersion": "v1",
        "name": "example.com/s",
        "version": "1",
        "location": "/s.aci",
    }
    dirs.write("local/stage1.d/s.json", stage1)
    config = dirs.read()
    assert (config.stage1_name, config.stage1_version, config.stage1_location) == (
        "example.com/s",
        "1",
        "/s.aci",
    )


LIMITS = {"rktKind": "limits", "rktVersion": "v1"}


@pytest.mark.finding("attack-F9")
def test_bounds_of_what_is_unpacked_are_configured_each_by_itself(dirs: Dirs) -> None:
    assert configured_limits(dirs.paths) == Limits()
    assert Limits() == Limits(64 << 30, 2_000_000, 200)
    dirs.write("system/limits.d/l.json", {**LIMITS, "unpackedBytes": 1000, "unpackedEntries": 10})
    dirs.write("local/limits.d/l.json", {**LIMITS, "unpackedEntries": 20})
    dirs.write("local/limits.d/m.json", {**LIMITS, "unpackedRatio": 30})
    assert configured_limits(dirs.paths) == dirs.read().limits == Limits(1000, 20, 30)


@pytest.mark.parametrize("value", [0, -1, "64Gi", True, 1.5, [1]], ids=repr)
@pytest.mark.parametrize("member", MEMBERS.values())
def test_a_bound_is_a_whole_number_of_at_least_one(dirs: Dirs, member: str, value: object) -> None:
    dirs.write("local/limits.d/l.json", {**LIMITS, member: value})
    refusal = dirs.refusal()
    assert f"local/limits.d/l.json: {member}: " in refusal
    assert "expected a whole number" in refusal or "must be at least 1" in refusal


@pytest.mark.behaviour("B33")
def test_only_regular_json_files_count(dirs: Dirs, tmp_path: pathlib.Path) -> None:
    dirs.write("local/auth.d/readme.txt", "{")
    dirs.write("local/auth.d/sub.json/a.json", BASIC)
    (tmp_path / "local/auth.d/link.json").symlink_to(dirs.write("elsewhere.json", BASIC))
    assert dirs.read() == Config()


@pytest.mark.behaviour("B34")
@pytest.mark.parametrize(
    ("directory", "document", "message"),
    [
        ("auth.d", BASIC, 'auth for domain "example.com" is already specified'),
        ("auth.d", DOCKER, 'auth for docker registry "quay.io" is already specified'),
        ("paths.d", PATHS, "data directory is already specified"),
        (
            "limits.d",
            {"rktKind": "limits", "rktVersion": "v1", "unpackedRatio": 5},
            '"unpackedRatio" is already specified',
        ),
    ],
)
def test_nothing_is_said_twice_in_one_directory(
    dirs: Dirs, directory: str, document: object, message: str
) -> None:
    dirs.write(f"local/{directory}/a.json", document)
    dirs.write(f"local/{directory}/b.json", document)
    assert dirs.refusal().endswith(f"local/{directory}/b.json: {message}")


@pytest.mark.behaviour("B33", "B35", "B36", "B59")
@pytest.mark.parametrize(
    ("directory", "document", "part"),
    [
        pytest.param("auth.d", "{", "cannot read configuration", id="no JSON"),
        pytest.param("auth.d", "[" * 100_000, "cannot read configuration", id="deep"),
        pytest.param(
            "auth.d",
            {**BASIC, "domains": ["\ud800"]},
            "domains[0]: holds half of a surrogate pair",
            id="no text",
        ),
        pytest.param(
            "paths.d", {**PATHS, "data": "/a\0b"}, "a.json: data: must not hold a NUL character", id="NUL"
        ),
        pytest.param("auth.d", "[]", "expected an object, found a list", id="no object"),
        pytest.param("auth.d", {"rktVersion": "v1"}, "no rktKind specified in ", id="no kind"),
        pytest.param("auth.d", {"rktKind": "auth"}, "no rktVersion specified in ", id="no version"),
        pytest.param("auth.d", {**BASIC, "rktVersion": "v2"}, 'unsupported version "v2"', id="version"),
        pytest.param(
            "paths.d", BASIC, '"paths.d" expects to have configuration files of kind paths', id="kind"
        ),
        pytest.param(
            "auth.d", {**BASIC, "domains": []}, "a.json: domains: must be a list of names", id="no domain"
        ),
        pytest.param(
            "auth.d",
            {**BASIC, "credentials": {"user": "u"}},
            "a.json: credentials.password: missing or empty",
            id="no password",
        ),
        pytest.param(
            "auth.d",
            {**BASIC, "credentials": 3},
            "a.json: credentials: no credentials are given",
            id="no credentials",
        ),
        pytest.param(
            "stage1.d",
            {"rktKind": "stage1", "rktVersion": "v1", "name": "n", "version": 1},
            "a.json: version: expected a string, found 1",
            id="a number",
        ),
        pytest.param("auth.d", {**BASIC, "type": "magic"}, 'unknown auth type "magic"', id="type"),
        pytest.param(
            "paths.d", {**PATHS, "data": "data"}, "the data directory must be an absolute path", id="path"
        ),
        pytest.param(
            "stage1.d",
            {"rktKind": "stage1", "rktVersion": "v1", "name": "n"},
            "name and version must be given together",
            id="half a stage1",
        ),
        pytest.param(
            "stage1.d",
            {"rktKind": "stage1", "rktVersion": "v1", "location": "s.aci"},
            "default stage1 image location is either a relative path or a URL without scheme",
            id="relative stage1",
        ),
    ],
)
def test_what_is_fatal(dirs: Dirs, directory: str, document: object, part: str) -> None:
    dirs.write(f"local/{directory}/a.json", document)
    assert part in dirs.refusal()


@pytest.mark.behaviour("B59")
def test_a_file_in_place_of_a_directory_is_an_error(dirs: Dirs) -> None:
    dirs.write("local/auth.d", "x")
    with pytest.raises(HostFailure):
        dirs.read()


@pytest.mark.parametrize("credentials", [{"user": "u", "password": 4711}, "u:4711", ["u", "4711"]], ids=repr)
def test_what_stands_in_place_of_a_secret_does_not_show(dirs: Dirs, credentials: object) -> None:
    dirs.write("local/auth.d/a.json", {**BASIC, "credentials": credentials})
    refusal = dirs.refusal()
    assert "a.json: credentials" in refusal
    assert "4711" not in refusal


@pytest.mark.parametrize("secret", ["4711\n", "4711\r\nHost: other", "4711\t", "4711é"], ids=repr)
@pytest.mark.parametrize(
    ("kind", "name"), [("oauth", "token"), ("aws", "accessKeyID")], ids=["a token", "an access key"]
)
def test_what_a_header_cannot_have_is_refused_and_does_not_show(
    dirs: Dirs, kind: str, name: str, secret: str
) -> None:
    credentials = {"secretAccessKey": "s", name: secret}
    dirs.write("local/auth.d/a.json", {**BASIC, "type": kind, "credentials": credentials})
    refusal = dirs.refusal()
    assert f"credentials.{name}: it has a character that no token has" in refusal
    assert "4711" not in refusal


def test_secrets_do_not_show(dirs: Dirs) -> None:
    dirs.write("local/auth.d/a.json", BASIC)
    assert "password='p'" not in repr(dirs.read().auth)


POLICY = {"rktKind": "policy", "rktVersion": "v1"}


@pytest.mark.finding("attack-F1")
def test_a_directory_may_say_the_policy_for_isolators(dirs: Dirs) -> None:
    assert configured_isolators(dirs.paths) == ""
    dirs.write("system/policy.d/p.json", {**POLICY, "imageIsolators": "accept"})
    assert configured_isolators(dirs.paths) == dirs.read().image_isolators == "accept"
    dirs.write("local/policy.d/p.json", {**POLICY, "imageisolators": "narrow"})
    assert configured_isolators(dirs.paths) == "narrow"
    dirs.write("local/policy.d/q.json", {**POLICY, "imageIsolators": "accept"})
    assert "policy for isolators of images is already specified" in dirs.refusal()


@pytest.mark.finding("attack-F1")
@pytest.mark.parametrize("value", ["Accept", 1, True, ["accept"], {"a": "b"}])
def test_a_policy_that_is_none_names_its_file(dirs: Dirs, value: object) -> None:
    dirs.write("local/policy.d/p.json", {**POLICY, "imageIsolators": value})
    assert 'local/policy.d/p.json: "imageIsolators" must be one of refuse, narrow, accept' in dirs.refusal()


@pytest.mark.finding("attack-F15")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400, 0o440])
def test_credentials_that_others_cannot_reach_are_used(dirs: Dirs, mode: int) -> None:
    dirs.write("local/auth.d/a.json", DOCKER).chmod(mode)
    assert dirs.read().docker


@pytest.mark.finding("attack-F15")
@pytest.mark.parametrize(
    ("mode", "can"),
    [(0o644, "read"), (0o604, "read"), (0o660, "change"), (0o666, "change"), (0o602, "change")],
)
def test_credentials_that_others_can_reach_are_refused_with_the_cure(dirs: Dirs, mode: int, can: str) -> None:
    path = dirs.write("local/auth.d/a.json", DOCKER)
    path.chmod(mode)
    with pytest.raises(InvalidSpec) as caught:
        dirs.read()
    assert caught.value.message == (
        f"the credentials in {path} are not used: others can {can} them (mode {mode:04o})"
    )
    assert caught.value.hint == f"chmod 0640 {path}, or 0600"
    assert "password" not in str(caught.value.facts)


@pytest.mark.finding("attack-F15")
def test_other_configuration_may_be_read_by_all(dirs: Dirs) -> None:
    dirs.write("local/paths.d/a.json", {"rktKind": "paths", "rktVersion": "v1", "data": "/x"}).chmod(0o644)
    assert dirs.read().data_dir == "/x"
