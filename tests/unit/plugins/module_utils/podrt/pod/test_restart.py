# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Restart policies as text and as YAML, and the record of restarts."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import PodManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt, InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.dirs import PodDir
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.restart import (
    Restart,
    RestartCounts,
    read_restarts,
    stays_stopped,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import RESTART


@pytest.mark.parametrize(
    ("text", "restart"),
    [
        ("no", Restart()),
        ("on-failure:5", Restart("on-failure", 5)),
        ("always,backoff=1m30s", Restart("always", 0, 90.0, 90.0)),
        ("always,backoff=250ms,max-backoff=.5s", Restart("always", 0, 0.25, 0.5)),
        ("unless-stopped,max_backoff=0.1s", Restart("unless-stopped", 0, 0.1, 0.1)),
    ],
)
def test_a_policy_is_read_and_written_in_one_spelling(text: str, restart: Restart) -> None:
    assert Restart.parse(text) == restart
    assert Restart.parse(str(restart)) == restart


def test_a_policy_is_written_with_all_that_it_leaves_out() -> None:
    assert str(Restart.parse("on-failure:5")) == "on-failure:5,backoff=1s,max-backoff=60s"


@pytest.mark.parametrize(
    ("text", "where", "complaint"),
    [
        ("", "x", 'unknown restart policy ""'),
        ("sometimes", "x", 'unknown restart policy "sometimes"'),
        ("always:-1", "x", '"-1" is not a number of retries'),
        ("always:", "x", '"" is not a number of retries'),
        ("always:" + "9" * 5000, "x", "is not a number of retries"),
        ("always:1000001", "x", "1000001 is out of range"),
        ("always,backoff", "x", 'cannot read "backoff"'),
        ("always,pause=1s", "x", 'cannot read "pause=1s"'),
        ("always,backoff=1s,backoff=2s", "x", 'cannot read "backoff=2s"'),
        ("always,backoff=1", "x", 'invalid duration "1"'),
        ("always,backoff=0", "x", "0s is out of range"),
        ("always,backoff=-1s", "x", "-1s is out of range"),
        ("always,max-backoff=25h", "x", "90000s is out of range"),
        ("always,backoff=2s,max-backoff=1s", "x", "2s is more than max_backoff, which is 1s"),
    ],
)
def test_what_is_no_policy_is_refused_with_its_place(text: str, where: str, complaint: str) -> None:
    with pytest.raises(InvalidSpec, match="x: ") as caught:
        Restart.parse(text, where)
    assert complaint in caught.value.message
    assert caught.value.hint


@pytest.fixture
def pod(tmp_path: pathlib.Path) -> PodDir:
    found = PodDir(str(tmp_path))
    pathlib.Path(found.statuses).mkdir(parents=True)
    return found


def test_a_record_is_read_with_its_padding(pod: PodDir) -> None:
    text = "restarts=3 started=12.5 status=9 signal=1 oom=1 finished=13 next=14.25"
    pathlib.Path(pod.app_restarts("main")).write_text(text.ljust(255) + "\n")
    assert read_restarts(pod, "main") == RestartCounts(3, None, 9, True, 12.5, 13.0, 14.25)
    assert read_restarts(pod, "other") is None


@pytest.mark.parametrize("text", ["restarts", "restarts=-1", "restarts=x", "started=1e9", "a" * 300, "a=\0"])
def test_a_record_that_an_app_has_written_is_corrupt(pod: PodDir, text: str) -> None:
    pathlib.Path(pod.app_restarts("main")).write_text(text)
    with pytest.raises(Corrupt):
        read_restarts(pod, "main")


@pytest.mark.parametrize(
    ("policies", "stays"),
    [
        (("unless-stopped",), True),
        (("unless-stopped:3,backoff=1s", "no"), True),
        (("unless-stopped", "always"), False),
        (("on-failure",), False),
        ((), False),
    ],
)
def test_a_boot_leaves_a_stopped_pod_alone_only_if_its_policies_say_so(
    policies: tuple[str, ...], stays: bool
) -> None:
    apps = [
        {
            "name": f"app-{number}",
            "image": {"id": "sha512-" + "0" * 64},
            "annotations": [{"name": RESTART, "value": policy}],
        }
        for number, policy in enumerate(policies)
    ]
    manifest = PodManifest.from_json({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": apps})
    assert stays_stopped(manifest) is stays
