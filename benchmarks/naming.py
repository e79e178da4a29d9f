# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The time in which a pod enters the names of a network of many, with their hosts files on disk.

usage: naming.py RUNTIME DIRECTORY PODS ROUNDS; prints the milliseconds of each round.
"""

from __future__ import annotations

import os
import sys
import time


def main() -> None:
    runtime, directory, pods, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    sys.path.insert(0, runtime)
    from podrt.host.paths import Paths
    from podrt.net import names, slots
    from podrt.net.addresses import Address
    from podrt.net.info import NetInfo
    from podrt.net.names import NamedPod
    from podrt.net.ranges import Assigned
    from podrt.net.result import result_of_addresses

    # As on a host, where /run is in memory.
    paths = Paths(data=directory, run=f"/run/pods-naming-{os.getpid()}", leases=f"{directory}/leases")

    def pod_of(number: int) -> NamedPod:
        uuid = f"{number:08x}-aaaa-4bbb-8ccc-{number:012x}"
        place = paths.pod("run", uuid)
        os.makedirs(os.path.dirname(place.app_hosts("app")), exist_ok=True)
        with open(place.app_hosts("app"), "wb") as file:
            file.write(slots.new_file(b"127.0.0.1 localhost\n::1 ip6-localhost\n"))
        home = paths.state("run")
        return NamedPod(
            uuid,
            home,
            (f"pod{number}", f"alias{number}"),
            (os.path.relpath(place.app_hosts("app"), home),),
            (f"rkt-{uuid}",),
        )

    def info_of(number: int) -> tuple[NetInfo, ...]:
        texts = f"10.9.{number // 250}.{number % 250 + 1}", f"fd00:9::{number + 1:x}"
        given = tuple(Assigned(Address.parse(text), 24 if "." in text else 64) for text in texts)
        return (NetInfo("many", "", ("bridge",), "eth0", result_of_addresses(given)),)

    for number in range(pods - 1):
        names.enter(paths, pod_of(number), info_of(number))
    for _round in range(rounds):
        last = pod_of(pods)
        begin = time.perf_counter()
        names.enter(paths, last, info_of(pods))
        print((time.perf_counter() - begin) * 1000)
        names.leave(paths, last.uuid)


if __name__ == "__main__":
    main()
