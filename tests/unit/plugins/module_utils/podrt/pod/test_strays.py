# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The groups that a stray lacks, and its app, in both versions of control groups."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.mountinfo import MountEntry
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.cgroups import (
    Hierarchy,
    parse_hierarchies,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.strays import leaf_of, missing_in

NAME = r"machine-rkt\x2d1.scope"
CGROUP = "/sys/fs/cgroup"
V1 = {"memory": ("cgroup", f"{CGROUP}/memory"), "cpu,cpuacct": ("cgroup", f"{CGROUP}/cpu,cpuacct")}
V2 = {"": ("cgroup2", CGROUP)}
HYBRID = {**V1, "": ("cgroup2", f"{CGROUP}/unified")}
GROUPS_V1 = (f"{CGROUP}/memory/a/{NAME}", f"{CGROUP}/cpu,cpuacct/{NAME}")
GROUPS_V2 = (f"{CGROUP}/pods/{NAME}",)
GROUPS_HYBRID = (*GROUPS_V1, f"{CGROUP}/unified/pods/{NAME}")
APPS = ("web", "web-log")


def memberships(mounted: dict[str, tuple[str, str]], places: tuple[str, ...]) -> tuple[Hierarchy, ...]:
    mounts = tuple(
        MountEntry("0:30", target, "/", (), fs_type, "cgroup", tuple(names.split(",")))
        for names, (fs_type, target) in mounted.items()
    )
    lines = [f"{number}:{names}:{place}" for number, (names, place) in enumerate(zip(mounted, places))]
    return parse_hierarchies("\n".join(lines), mounts)


@pytest.mark.finding("use-N5")
@pytest.mark.parametrize(
    ("mounted", "groups", "places", "missing", "leaf"),
    [
        pytest.param(V1, GROUPS_V1, (f"/a/{NAME}/web", f"/{NAME}/web"), (), "web", id="v1"),
        pytest.param(V1, GROUPS_V1, (f"/a/{NAME}", f"/{NAME}"), (), "", id="v1, the supervisor"),
        pytest.param(
            V1, GROUPS_V1, (f"/a/{NAME}/web/own", f"/{NAME}/web"), (), "web", id="v1, a group of its own"
        ),
        pytest.param(
            V1, GROUPS_V1, ("/a", f"/{NAME}/web-log"), GROUPS_V1[:1], "web-log", id="v1, out of one"
        ),
        pytest.param(V1, GROUPS_V1, ("/", "/../x"), GROUPS_V1, "", id="v1, out of all"),
        pytest.param(
            V1, GROUPS_V1, (f"/a/{NAME}x/web", f"/{NAME}/web"), GROUPS_V1[:1], "web", id="v1, another pod"
        ),
        pytest.param(V2, GROUPS_V2, (f"/pods/{NAME}/web",), (), "web", id="v2"),
        pytest.param(V2, GROUPS_V2, (f"/pods/{NAME}/_supervisor",), (), "", id="v2, the supervisor"),
        pytest.param(V2, GROUPS_V2, ("/system.slice/sshd.service",), GROUPS_V2, "", id="v2, out"),
        pytest.param(
            HYBRID,
            GROUPS_HYBRID,
            (f"/a/{NAME}/web", f"/{NAME}/web", f"/pods/{NAME}/web"),
            (),
            "web",
            id="both",
        ),
        pytest.param(
            HYBRID,
            GROUPS_HYBRID,
            (f"/a/{NAME}/web", f"/{NAME}/web", "/"),
            GROUPS_HYBRID[2:],
            "web",
            id="both, out of v2",
        ),
    ],
)
def test_a_process_is_missing_where_it_is_not_below_the_pods_group(
    mounted: dict[str, tuple[str, str]],
    groups: tuple[str, ...],
    places: tuple[str, ...],
    missing: tuple[str, ...],
    leaf: str,
) -> None:
    found = memberships(mounted, places)
    assert missing_in(groups, found) == missing
    assert leaf_of(groups, found, APPS) == leaf
