# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps an app from starting is found in its image, in check mode as in the run, with the option's path."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.tests.integration.converge.conftest import SERVE, Host
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import write_image

SHELL = {"exec": "/bin/sh", "args": ["-c", SERVE]}
MAKES = {"pre_start": ["/bin/sh", "-c", "mkdir /made; cp /bin/busybox /made/sh"]}


def volume(source: object, target: str) -> dict[str, Any]:
    return {
        "volumes": [{"name": "v", "source": str(source)}],
        "mounts": [{"volume": "v", "target": target}],
    }


@pytest.fixture
def fetched(host: Host, tmp_path: pathlib.Path) -> Host:
    host.image = str(
        write_image(
            tmp_path / "users.aci",
            "example.com/users",
            {"exec": ["/bin/sh"], "user": "0", "group": "0"},
            {"bin/bad": (0o755, b"#!/bin/nosuch\n"), "etc/plain": (0o644, b"no program\n")},
        )
    )
    host.task("pod_image", name=host.image, insecure_options=["image"])
    return host


@pytest.mark.finding("use-N7", "use-N13")
def test_what_would_stop_an_app_is_known_before_the_old_pod_is_touched(
    fetched: Host, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "file").touch()
    old = fetched.pod()["pod"]
    for app, options, where, message in (
        ({"exec": "/bin/missing"}, {}, "exec", 'Unable to open "/bin/missing"'),
        ({"exec": "missing"}, {}, "exec", 'error looking up "missing"'),
        ({"exec": "/etc/plain"}, {}, "exec", '"/etc/plain" is not executable'),
        ({"exec": "/etc"}, {}, "exec", '"/etc" is not executable'),
        ({"exec": "/bin/bad"}, {}, "exec", 'Unable to open "/bin/nosuch"'),
        ({"pre_start": ["/bin/missing"]}, {}, "pre_start", "/bin/missing"),
        ({"post_stop": ["missing"]}, {}, "post_stop", "missing"),
        ({"user": "no-such-user"}, {}, "user", '"no-such-user" user not found'),
        ({"user": "/nosuch"}, {}, "user", "cannot find the owner of /nosuch"),
        ({"group": "no-such-group"}, {}, "group", '"no-such-group" group not found'),
        (
            {"seccomp": {"mode": "retain", "syscalls": ["opennat"]}},
            {},
            "seccomp.syscalls",
            "known here: opennat",
        ),
        ({"working_dir": "/nowhere"}, {}, "working_dir", 'cannot use the working directory "/nowhere"'),
        ({"working_dir": "/etc/plain"}, {}, "working_dir", "Not a directory"),
        ({}, volume(tmp_path / "file", "/etc"), "mounts", "over a file"),
        ({}, volume(tmp_path, "/etc/plain"), "mounts", "over a file"),
        ({}, volume(tmp_path, "/etc/plain/x"), "mounts", ""),
    ):
        wanted = {"app": {**SHELL, **app}, **options}
        foretold, done = fetched.pod(check=True, **wanted), fetched.pod(**wanted)
        if message:
            assert done["failed"] and message in done["msg"], done
            assert (done["error"], done["facts"]["where"]) == ("invalid-spec", f"apps[0].{where}")
            assert (foretold["failed"], foretold["msg"]) == (True, done["msg"])
        assert done["failed"] and not done["changes"], done
        again = fetched.pod()
        assert (again["changed"], again["pod"]["pid"]) == (False, old["pid"])


@pytest.mark.finding("use-N7")
def test_what_the_image_does_not_decide_is_no_mistake(fetched: Host, tmp_path: pathlib.Path) -> None:
    source = tmp_path / "mounted"
    source.mkdir()
    (source / "sh").write_bytes(pathlib.Path("/bin/sh").read_bytes())
    (source / "passwd").write_text("other:x:7:7::/:/bin/sh\n")
    for options in (
        {"app": {**SHELL, "user": "worker", "group": "workers"}},
        {"app": {**SHELL, "user": "123", "group": "/etc/group"}},
        {"app": {**SHELL, "working_dir": "/tmp"}},
        {"app": {**SHELL, "working_dir": "/proc/self"}},
        {"app": {**SHELL, "working_dir": "/new"}, **volume(source, "/new/deep")},
        {"app": {**SHELL, "working_dir": "/new/deep"}, **volume(source, "/new/deep")},
        {"app": {**SHELL, **MAKES, "exec": "/made/sh", "working_dir": "/made"}},
        {"app": {**SHELL, "user": "other"}, **volume(source / "passwd", "/etc/passwd")},
        {"app": SHELL, **volume(tmp_path / "mounted" / "sh", "/not/there/yet")},
    ):
        assert not fetched.pod(check=True, **options).get("failed")
        done = fetched.pod(**options)
        assert not done.get("failed"), done
        assert done["pod"]["state"] == "running"
    assert not fetched.pod(check=True, app={**SHELL, "exec": "/new/sh"}, **volume(source, "/new")).get(
        "failed"
    )


@pytest.mark.finding("use-N7")
def test_an_image_that_is_still_to_be_fetched_says_it_in_the_run_before_the_old_pod_is_touched(
    host: Host, tmp_path: pathlib.Path
) -> None:
    old = host.pod()["pod"]
    other = str(
        write_image(
            tmp_path / "other.aci", "example.com/other", {"exec": ["/bin/sh"], "user": "0", "group": "0"}
        )
    )
    wanted = {"app": {"image": other, "user": "no-such-user"}}
    assert not host.pod(check=True, **wanted).get("failed")
    done = host.pod(**wanted)
    assert (done["error"], done["facts"]["where"]) == ("invalid-spec", "apps[0].user")
    again = host.pod()
    assert (again["changed"], again["pod"]["pid"]) == (False, old["pid"])
