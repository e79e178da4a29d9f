# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The task pod_login: credentials that a registry takes, in a file of their own, and nothing of them elsewhere."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Conflict,
    InvalidSpec,
    Unreachable,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.credentials import basic
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks import run
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import (
    Reply,
    Web,
    configure,
    log_in,
    serving,
)

USER, PASSWORD = "deploy", "s3cret\u00e9 word"


@pytest.fixture(name="web")
def _web() -> Any:
    with serving() as web:

        def answer(_method: str, _path: str, headers: dict[str, str]) -> Reply:
            if headers.get("authorization") in (basic(USER, PASSWORD), basic("other", PASSWORD)):
                return 200, {}, b"{}"
            return 401, {"WWW-Authenticate": 'Basic realm="x"'}, b'{"errors": [{"message": "no entry"}]}'

        web.answer = answer
        yield web


@pytest.fixture(name="host")
def _host(tmp_path: pathlib.Path) -> Host:
    paths = Paths(
        data=str(tmp_path / "data"), local_config=str(tmp_path / "etc"), system_config=str(tmp_path / "lib")
    )
    return Host(paths, "amd64", "", "")


def task(host: Host, check: bool = False, **options: object) -> dict[str, Any]:
    result = run.TASKS["pod_login"](host, Fields({"insecure_options": [], **options}, ""), check)
    assert PASSWORD not in json.dumps(result, ensure_ascii=False)
    return result


def wanted(web: Web, **more: object) -> dict[str, object]:
    return {"registry": web.authority, "username": USER, "password": PASSWORD, **more}


@pytest.mark.behaviour("B36", "B57")
def test_credentials_are_written_once_and_are_those_of_the_host(host: Host, web: Web) -> None:
    path = pathlib.Path(host.paths.login(web.authority))
    checked = task(host, check=True, **wanted(web))
    assert not path.parent.exists()
    made = task(host, **wanted(web))
    assert (
        made["changes"]
        == checked["changes"]
        == [
            {
                "path": f"logins.{web.authority}",
                "before": None,
                "after": USER,
                "reason": "playbook",
                "impact": "none",
            }
        ]
    )
    assert made["login"] == {"registry": web.authority, "username": USER, "path": str(path)}
    assert path.stat().st_mode & 0o7777 == 0o600
    assert host.config.docker_credentials(web.authority) == (USER, PASSWORD)
    assert os.listdir(path.parent) == [path.name]
    # The registry is not asked about what is there already.
    before = len(web.asked)
    assert not task(host, **wanted(web))["changed"]
    assert len(web.asked) == before


@pytest.mark.parametrize("check", [True, False], ids=["check", "run"])
def test_credentials_that_the_registry_refuses_are_not_written(host: Host, web: Web, check: bool) -> None:
    with pytest.raises(Unreachable) as err:
        task(host, check, **wanted(web, password="wrong one"))
    assert err.value.message == (
        f'cannot log in to {web.authority} as "deploy": bad HTTP status code: 401 (no entry)'
    )
    assert "wrong one" not in err.value.message + json.dumps(err.value.facts)
    assert not os.path.exists(host.paths.local_config)
    # What was there stays.
    task(host, **wanted(web))
    with pytest.raises(Unreachable):
        task(host, check, **wanted(web, password="wrong one"))
    assert host.config.docker_credentials(web.authority) == (USER, PASSWORD)


def test_another_user_or_password_is_a_change_without_the_password(host: Host, web: Web) -> None:
    task(host, **wanted(web, password="old", verify=False))
    changed = task(host, **wanted(web, username="other"))
    user, password = changed["changes"]
    assert (user["path"], user["before"], user["after"]) == (f"logins.{web.authority}.user", USER, "other")
    assert password["path"] == f"logins.{web.authority}.password"
    assert password["before"].startswith("fingerprint:") and password["before"] != password["after"]
    assert "old" not in json.dumps(changed)


def test_a_registry_that_cannot_be_reached_yet_is_not_asked(host: Host) -> None:
    made = task(host, registry="192.0.2.9:5000", username=USER, password=PASSWORD, verify=False)
    assert made["changed"]
    assert host.config.docker_credentials("192.0.2.9:5000") == (USER, PASSWORD)


def test_a_registry_that_asks_for_nothing_is_said(host: Host, web: Web) -> None:
    web.answer = lambda *_other: (200, {}, b"{}")
    assert task(host, **wanted(web))["warnings"] == [
        f"{web.authority} asks for no credentials, so that they could not be tried"
    ]


def test_what_is_no_registry_is_an_error(host: Host, web: Web) -> None:
    web.answer = lambda *_other: (404, {}, b"")
    with pytest.raises(Unreachable, match="is not a registry: it answers /v2/ with status 404"):
        task(host, **wanted(web))


@pytest.mark.parametrize("damage", ["mode", "content", "link", "more"])
def test_a_file_that_is_not_as_it_was_written_is_mended(host: Host, web: Web, damage: str) -> None:
    task(host, **wanted(web))
    path = pathlib.Path(host.paths.login(web.authority))
    good = path.read_bytes()
    if damage == "mode":
        path.chmod(0o644)
    elif damage == "content":
        path.write_text("{")
    elif damage == "more":
        path.write_text(json.dumps({**json.loads(good), "registries": [web.authority, "evil.example.com"]}))
    else:
        path.rename(path.parent / "elsewhere")
        path.symlink_to("elsewhere")
    (change,) = task(host, **wanted(web))["changes"]
    assert change["reason" if damage == "mode" else "before"] == ("drift" if damage == "mode" else "damaged")
    assert (path.read_bytes(), path.is_symlink(), path.stat().st_mode & 0o7777) == (good, False, 0o600)
    assert not task(host, **wanted(web))["changed"]


def test_credentials_are_removed_and_what_is_left_is_said(host: Host, web: Web) -> None:
    task(host, **wanted(web))
    gone: dict[str, object] = {"registry": web.authority, "state": "absent"}
    checked = task(host, check=True, **gone)
    made = task(host, **gone)
    assert made["changes"] == checked["changes"]
    assert [(each["before"], each["after"]) for each in made["changes"]] == [(USER, None)]
    assert (made["login"], made["warnings"], os.listdir(host.paths.auth(host.paths.local_config))) == (
        None,
        [],
        [],
    )
    assert not task(host, **gone)["changed"]
    log_in(host, web.authority)
    left = task(host, **gone)
    assert not left["changed"]
    assert [warning.rpartition("/")[2] for warning in left["warnings"]] == [
        f"0.json still has credentials for {web.authority}"
    ]


@pytest.mark.behaviour("B34")
def test_a_document_of_another_name_is_not_touched(host: Host, web: Web) -> None:
    log_in(host, web.authority)
    before = sorted(os.listdir(host.paths.auth(host.paths.local_config)))
    for check in (True, False):
        with pytest.raises(Conflict, match=r"0\.json has credentials for .* already"):
            task(host, check, **wanted(web))
    assert sorted(os.listdir(host.paths.auth(host.paths.local_config))) == before
    # One for another registry, and one of another kind, are no reason.
    os.unlink(f"{host.paths.auth(host.paths.local_config)}/{before[0]}")
    log_in(host, "registry.example.com")
    configure(host, "auth", domains=["example.com"], type="oauth", credentials={"token": "t"})
    assert task(host, **wanted(web))["changed"]


def test_docker_hub_has_one_file_by_any_of_its_names(host: Host) -> None:
    for name in ("docker.io", "index.docker.io", "registry-1.docker.io"):
        made = task(host, registry=name, username=USER, password=PASSWORD, verify=False)
        assert made["login"]["registry"] == "registry-1.docker.io"
        assert made["changed"] == (name == "docker.io")
    log_in(host, "index.docker.io")
    with pytest.raises(Conflict):
        task(host, registry="docker.io", username=USER, password=PASSWORD, verify=False)


@pytest.mark.parametrize(
    ("where", "options"),
    [
        ("registry", {"registry": "https://registry.example.com"}),
        ("registry", {"registry": "registry.example.com/team"}),
        ("registry", {"registry": "../../etc"}),
        ("registry", {"registry": ""}),
        ("username", {"username": None}),
        ("username", {"username": "a:b"}),
        ("password", {"password": ""}),
        ("password", {"password": 12345}),
    ],
)
def test_an_option_that_is_wrong_is_named_and_not_shown(
    host: Host, where: str, options: dict[str, object]
) -> None:
    given: dict[str, object] = {
        "registry": "r.example.com",
        "username": USER,
        "password": PASSWORD,
        **options,
    }
    with pytest.raises(InvalidSpec) as err:
        task(host, **given)
    assert err.value.where == where
    assert "12345" not in err.value.message
