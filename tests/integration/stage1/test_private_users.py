# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Pods with their own users, as their apps and the host see them. Source: behaviours C42, ruling 5."""

from __future__ import annotations

from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import HOST_NET, NO_NET, StageLab

OWN = NO_NET.replace(private_users=True)
OWN_ON_HOST_NET = HOST_NET.replace(private_users=True)


def test_an_app_is_root_and_the_host_sees_another_user(stage: StageLab) -> None:
    pod = stage.sh(
        "id -u; cat /proc/self/uid_map /proc/self/gid_map; stat -c %u:%g / /etc /dev /dev/null", OWN
    )
    done = pod.call()
    print(done.out, done.err)
    assert done.status == 0
    assert done.lines[0] == "0"
