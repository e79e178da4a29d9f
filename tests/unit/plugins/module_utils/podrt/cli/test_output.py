# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Tables, status lines and JSON, byte for byte."""

from __future__ import annotations

import json
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import App
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import ACName, ImageID
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import (
    PodManifest,
    RuntimeApp,
    RuntimeImage,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.volumes import (
    EmptyVolume,
    HostVolume,
    Mount,
    MountPoint,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.output import (
    as_json,
    format_size,
    has_names,
    list_header,
    list_rows,
    pod_json,
    status_lines,
    table,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.lifecycle import PodState
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import RunSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.status import (
    AppStatus,
    NetStatus,
    PodStatus,
)

UUID = "6733f2f3-1ea6-4e8c-9f1b-0f1b0b5b7f0a"
ID = "sha512-" + "ab" * 32
APPS = (
    AppStatus("web", "example.com/web:1.0", ID, "exited", 3, 5.5),
    AppStatus("backup", "example.com/backup", ID, "running"),
)
NETS = (NetStatus("default", "172.16.28.2", "eth0", '{"netName": "default"}'),)


def pod(state: PodState = PodState.RUNNING, **changes: object) -> PodStatus:
    return PodStatus(UUID, state, 1.0, 2.0, 77, APPS, NETS).replace(**changes)


@pytest.mark.behaviour("A31")
def test_cells_are_padded_with_tabs_to_multiples_of_eight() -> None:
    assert table([["UUID", "X"], ["1234567", "a"], ["12345678", "b"]]) == (
        "UUID\t\tX\n1234567\t\ta\n12345678\tb\n"
    )
    assert table([["a", "", "c"], ["", "1234567", ""]]) == "a\t\tc\n\t1234567\t\n"
    assert table([]) == ""


@pytest.mark.behaviour("A31", "A32", "A33", "A35", "G2")
def test_a_list_has_one_row_an_app_and_what_is_of_the_pod_in_the_first() -> None:
    rows = list_rows([pod()], 62.0, full=False)
    assert rows == [
        [
            UUID[:8],
            "web",
            "example.com/web:1.0",
            "running",
            "1 minute ago",
            "1 minute ago",
            "default:ip4=172.16.28.2",
        ],
        ["", "backup", "example.com/backup", "", "", "", ""],
    ]
    assert list_header(full=False) == ["UUID", "APP", "IMAGE NAME", "STATE", "CREATED", "STARTED", "NETWORKS"]


@pytest.mark.behaviour("A31", "A33")
def test_a_full_list_has_whole_uuids_and_image_ids() -> None:
    row = list_rows([pod()], 62.0, full=True)[0]
    assert (row[0], row[3]) == (UUID, "sha512-" + "ab" * 6)
    assert list_header(full=True)[3] == "IMAGE ID"


@pytest.mark.behaviour("A32", "A34")
def test_a_pod_without_a_manifest_has_dashes_and_no_start() -> None:
    row = list_rows([pod(PodState.PREPARING, apps=(), started=None, networks=())], 1.0, full=False)[0]
    assert row == [UUID[:8], "-", "-", "preparing", "now", "", ""]


@pytest.mark.behaviour("A39", "G3")
@pytest.mark.parametrize(
    ("state", "lines"),
    [
        (PodState.RUNNING, ["state=running", "networks=default:ip4=172.16.28.2", "pid=77", "exited=false"]),
        (
            PodState.EXITED,
            ["state=exited", "networks=default:ip4=172.16.28.2", "pid=77", "exited=true", "app-web=3"],
        ),
        (PodState.EXITED_GARBAGE, ["state=exited garbage", "pid=77", "exited=true", "app-web=3"]),
        (PodState.PREPARED, ["state=prepared"]),
    ],
    ids=str,
)
def test_status_says_what_fits_the_state(state: PodState, lines: list[str]) -> None:
    said = status_lines(pod(state))
    assert [line for line in said if not line.startswith(("created=", "started="))] == lines
    assert said[1].startswith("created=19") and said[2].startswith("started=19")


@pytest.mark.behaviour("A37")
def test_json_leaves_out_what_there_is_not() -> None:
    bare = PodStatus(UUID, PodState.PREPARING, 1.0, None, None, (), ())
    assert pod_json(bare, Paths()) == {"name": UUID, "state": "preparing", "created_at": 1}


@pytest.mark.behaviour("A37")
def test_json_says_all_of_an_app() -> None:
    app = App(
        ("/x",),
        "0",
        "0",
        mount_points=(MountPoint(ACName("data"), "/data", True),),
        user_labels=(("l", "v"),),
    )
    manifest = PodManifest(
        apps=(
            RuntimeApp(
                ACName("web"),
                RuntimeImage(ImageID(ID)),
                app,
                mounts=(Mount(ACName("data"), "/data"), Mount(ACName("tmp"), "/tmp")),
            ),
        ),
        volumes=(HostVolume(ACName("data"), "/srv"), EmptyVolume(ACName("tmp"), False)),
    )
    found = pod_json(pod(PodState.EXITED, apps=APPS[:1], manifest=manifest), Paths(data="/d"))
    assert found["networks"] == [{"netName": "default"}]
    assert (found["created_at"], found["started_at"], found["app_names"]) == (1, 2, ["web"])
    assert found["apps"] == [
        {
            "name": "web",
            "state": "exited",
            "created_at": 1_000_000_000,
            "started_at": 2_000_000_000,
            "finished_at": 5_500_000_000,
            "exit_code": 3,
            "image_id": ID,
            "mounts": [
                {"name": "data", "container_path": "/data", "host_path": "/srv", "read_only": True},
                {
                    "name": "tmp",
                    "container_path": "/tmp",
                    "host_path": f"/d/pods/run/{UUID}/sharedVolumes/tmp",
                    "read_only": False,
                },
            ],
            "user_labels": {"l": "v"},
        }
    ]


@pytest.mark.behaviour("A37")
def test_json_is_compact_or_indented_by_tabs() -> None:
    assert as_json({"a": [1]}, "json") == '{"a":[1]}'
    assert as_json({"a": 1}, "json-pretty") == '{\n\t"a": 1\n}'
    assert json.loads(as_json(None, "json")) is None
    with pytest.raises(InvalidSpec, match="Invalid format option: yaml"):
        as_json(None, "yaml")


@pytest.mark.behaviour("A54")
@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0B"), (1023, "1023B"), (1258291, "1.2MiB"), (12 << 20, "12MiB"), (3 << 30, "3.0GiB")],
)
def test_sizes(count: int, text: str) -> None:
    assert format_size(count) == text


@pytest.mark.finding("use-N8")
@pytest.mark.behaviour("A31", "A39", "G2", "G3")
def test_names_come_after_all_that_scripts_of_rkt_know() -> None:
    named, other = pod(runspec=RunSpec(name="My_App.v2")), pod()
    assert (has_names([other]), has_names([other, named])) == (False, True)
    for full in (False, True):
        plain = list_rows([named, other], 62.0, full=full)
        with_names = list_rows([named, other], 62.0, full=full, names=True)
        assert [row[:-1] for row in with_names] == plain
        assert [row[-1] for row in with_names] == ["My_App.v2", "", "", ""]
        assert list_header(full=full, names=True) == [*list_header(full=full), "NAME"]
    assert status_lines(named) == [*status_lines(other), "name=My_App.v2"]
    assert pod_json(named, Paths()) == {**pod_json(other, Paths()), "pod_name": "My_App.v2"}


@pytest.mark.finding("attack-F13")
@pytest.mark.parametrize("how", ["json", "json-pretty"])
def test_json_shows_no_character_that_cannot_be_seen_and_says_the_same(how):
    odd = [chr(code) for code in (*range(0x300), *range(0x2000, 0x2070), 0xFEFF, 0xD800, 0xE0001, 0x1F600)]
    value = {"".join(odd): ["".join(odd), "\u65e5\u672c"]}
    text = as_json(value, how)
    assert json.loads(text) == value
    assert "\u65e5\u672c" in text
    assert [character for character in text if not character.isprintable() and character not in "\n\t"] == []


@pytest.mark.finding("http-F7")
def test_a_pod_with_very_many_mounts_is_shown_in_linear_time() -> None:
    """With a search for each mount it would take minutes."""
    began = time.process_time()
    names = [ACName(f"v{number}") for number in range(30_000)]
    app = App(("/x",), "0", "0", mount_points=tuple(MountPoint(name, f"/{name}", True) for name in names))
    runtime = RuntimeApp(
        ACName("web"),
        RuntimeImage(ImageID(ID)),
        app,
        mounts=tuple(Mount(name, f"/{name}") for name in names),
    )
    manifest = PodManifest((runtime,), tuple(EmptyVolume(name) for name in names))
    found = pod_json(pod(PodState.EXITED, apps=APPS[:1], manifest=manifest), Paths(data="/d"))
    assert isinstance(found["apps"], list)
    mounts = found["apps"][0]["mounts"]
    assert (len(mounts), mounts[-1]["container_path"], mounts[-1]["read_only"]) == (30_000, "/v29999", True)
    assert time.process_time() - began < 5
