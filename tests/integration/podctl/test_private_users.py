# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""podctl and pods with their own users: their ranges, from prepare to gc. Source: behaviours C42, A20."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import PodHost

OWN = ("--net=none", "--private-users")
MAP = "cat /proc/self/uid_map"


def ranges(pods: PodHost) -> dict[str, int]:
    """The ranges on record, by UUID."""
    files = list(pathlib.Path(pods.data).parent.glob("*-subids.json"))
    held = json.loads(files[0].read_text())["held"] if files else []
    return {each["uuid"]: each["first"] for each in held}


@pytest.mark.behaviour("C42", "A20")
@pytest.mark.parametrize("roots", [(), ("--no-overlay",)], ids=["overlay", "copies"])
def test_a_pod_has_its_range_until_it_is_removed(pods: PodHost, roots: tuple[str, ...]) -> None:
    done = pods.sh(f"{MAP}; touch /made; stat -c %u:%g /made /bin", pod_flags=(*OWN, *roots))
    assert done.status == 0, done.err
    (uuid,) = pods.uuids()
    inside, first, count = done.texts[0].split()
    assert (inside, int(first), count) == ("0", ranges(pods)[uuid], "65536")
    assert done.texts[1:] == ["0:0", "0:0"]
    pods.ok("rm", uuid)
    assert ranges(pods) == {}


@pytest.mark.behaviour("C42")
def test_a_pod_that_is_started_again_keeps_its_range(pods: PodHost) -> None:
    done = pods.sh(MAP, pod_flags=(*OWN, "--pod-name=web"))
    first = done.texts[0].split()[1]
    again = pods.podctl("start", "web")
    assert again.status == 0, again.err
    newest = pods.ok("logs", "web")
    assert newest.split()[-2:] == [first, "65536"]
    assert len(ranges(pods)) == 2
    assert set(ranges(pods).values()) == {int(first)}


@pytest.mark.behaviour("C42")
def test_a_host_may_give_all_pods_their_own_users(pods: PodHost) -> None:
    policy = pods.base / "etc" / "policy.d"
    policy.mkdir(parents=True)
    document = {"rktKind": "policy", "rktVersion": "v1", "privateUsers": True}
    (policy / "users.json").write_text(json.dumps(document))
    assert pods.sh(MAP).texts[0].split()[1] != "0"
    assert pods.sh(MAP, pod_flags=("--net=none", "--private-users=false")).texts[0].split()[1] == "0"
    assert {"privateUsers": True}.items() <= json.loads(pods.ok("config"))["stage0"][-1].items()


def test_what_is_damaged_is_named(pods: PodHost) -> None:
    pods.sh("true", pod_flags=OWN)
    (record,) = pathlib.Path(pods.data).parent.glob("*-subids.json")
    record.write_text("{")
    done = pods.podctl("run", *OWN, pods.image, "--exec=/bin/true")
    assert done.status == 254, done.err
    assert "cannot read which user IDs pods have" in done.err
    record.unlink()
    assert pods.sh("true", pod_flags=OWN).status == 0
