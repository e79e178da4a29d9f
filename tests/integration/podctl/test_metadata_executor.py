# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the appc specification asks of an executor's metadata service, as the apps of a pod of two find it.

Each app looks at everything that there is, of the pod, of itself and of the other. Source: appc spec/ace.md, "App
Container Metadata Service"; ace/validator.go, ValidateMetadataSvc.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import (
    PodHost,
    eventually,
    write_image,
)
from ansible_collections.stagecraft.pods.tests.integration.podctl.test_metadata import (
    WAITS,
    in_own_run,
    inside,
    service,
)
from ansible_collections.stagecraft.pods.tests.integration.podctl.test_networks import end

JSON, ASCII, TEXT = "application/json", "text/plain; charset=us-ascii", "text/plain; charset=utf-8"
# typed PATH: the status, the type and the body, in one line each.
TYPED = r"""
typed() {
    rest=${AC_METADATA_URL#http://}; place=${rest%%/*}; token=${rest#*/}
    printf '%s\r\n' "GET /$token/acMetadata/v1/$1 HTTP/1.1" "Host: $place" "Connection: close" \
        "Metadata-Flavor: AppContainer" "" > /tmp/typed
    nc "${place%:*}" "${place#*:}" < /tmp/typed | {
        read -r version status reason
        while read -r name value && [ ${#name} -gt 1 ]; do
            case $name in [Cc]ontent-[Tt]ype:) media=${value%?};; esac
        done
        echo "$status"; echo "$media"; cat; echo
    }
}
"""
OF_IMAGES = {
    "main": {"both": "of the image", "image-only": "main", "authors": "one <one@example.com>"},
    "sidekick": {"both": "of the other image"},
}
OF_APPS = {"main": {"both": "of the app", "app-only": "x", "long/name.of-it": "schön"}, "sidekick": {}}
OF_POD = {"of-pod": "yes", "example.com/name": "text of two words"}


def pairs(annotations: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in annotations.items()]


def named(manifest: dict[str, Any]) -> dict[str, object]:
    """A manifest with its lists of names and values as dictionaries: they have no order."""
    lists = ("labels", "annotations")
    return {**manifest, **{key: {each["name"]: each["value"] for each in manifest[key]} for key in lists}}


def merged(app: str) -> dict[str, str]:
    return {**OF_IMAGES[app], **OF_APPS[app]}


class TwoApps:
    """A registered pod of two apps, whose images and manifest have annotations."""

    def __init__(self, pods: PodHost) -> None:
        self.pods = pods
        self.images = {name: self._image(name) for name in OF_IMAGES}
        apps = [
            {
                "name": name,
                "image": {"id": image},
                "app": {"exec": ["/bin/sh", "-c", WAITS], "user": "0", "group": "0"},
                "annotations": pairs(OF_APPS[name]),
            }
            for name, image in self.images.items()
        ]
        manifest = {
            "acKind": "PodManifest",
            "acVersion": "0.8.11",
            "apps": apps,
            "annotations": pairs(OF_POD),
        }
        path = pods.base / "pod.json"
        path.write_text(json.dumps(manifest))
        self.uuid = pods.ok("prepare", "--quiet", f"--pod-manifest={path}")
        pods.ok("run-prepared", "--detach", "--mds-register", self.uuid)
        eventually(lambda: pods.ok("logs", self.uuid).count("up") == 2)

    def _image(self, name: str) -> str:
        app = {"exec": ["/bin/sh"], "user": "0", "group": "0"}
        place = self.pods.base / f"{name}.aci"
        path = write_image(place, f"example.com/{name}", app, annotations=pairs(OF_IMAGES[name]))
        return self.pods.ok("fetch", "--full", str(path))

    def asked(self, app: str, path: str) -> tuple[str, str, str]:
        """What an app gets: status, type, body."""
        lines = self.pods.ok(
            "enter", f"--app={app}", self.uuid, "/bin/sh", "-c", f"{TYPED}\ntyped '{path}'"
        ).split("\n", 2)
        return lines[0], lines[1], lines[2]


@pytest.mark.behaviour("F4", "C8")
@in_own_run
def test_each_app_of_a_pod_finds_what_the_specification_asks_for(pods: PodHost) -> None:
    with service(pods):
        pod = TwoApps(pods)
        for app in pod.images:
            assert pod.asked(app, "pod/uuid") == ("200", ASCII, pod.uuid)
            status, media, body = pod.asked(app, "pod/manifest")
            assert (status, media) == ("200", JSON)
            manifest = json.loads(body)
            assert manifest == json.loads(pods.ok("cat-manifest", pod.uuid))
            assert [(each["name"], each["image"]["id"]) for each in manifest["apps"]] == [*pod.images.items()]
            check_annotations(pod, app, "pod/annotations", OF_POD)
            for other, image in pod.images.items():
                assert pod.asked(app, f"apps/{other}/image/id") == ("200", ASCII, image)
                status, media, body = pod.asked(app, f"apps/{other}/image/manifest")
                assert (status, media) == ("200", JSON)
                assert named(json.loads(body)) == named(json.loads(pods.ok("image", "cat-manifest", image)))
                check_annotations(pod, app, f"apps/{other}/annotations", merged(other))
            check_signature(pod, app)
        end(pods)


def check_annotations(pod: TwoApps, app: str, path: str, wanted: dict[str, str]) -> None:
    """All of them, with and without a slash behind, and each by its name."""
    for all_of_them in (path, f"{path}/"):
        status, media, body = pod.asked(app, all_of_them)
        assert (status, media) == ("200", JSON)
        found = {each["name"]: each["value"] for each in json.loads(body)}
        assert {name: found.get(name) for name in wanted} == wanted
        assert path.startswith("pod/") or found == wanted
    for name, value in wanted.items():
        assert pod.asked(app, f"{path}/{name}") == ("200", ASCII if value.isascii() else TEXT, value)
    assert pod.asked(app, f"{path}/nobody")[:2] == ("404", TEXT)
    assert pod.asked(app, f"{path}/No%20Name")[:2] == ("400", TEXT)


def check_signature(pod: TwoApps, app: str) -> None:
    """The service signs contents in the name of the pod, and verifies them."""
    script = r"""
    signed=$(ask POST pod/hmac/sign "content=Old+MacDonald+Had+A+Farm")
    echo "${signed%% *}"
    text=$(printf %s "${signed#* }" | busybox sed 's/+/%2B/g; s,/,%2F,g; s/=/%3D/g')
    ask POST pod/hmac/verify "content=Old+MacDonald+Had+A+Farm&uuid=UUID&signature=$text"
    ask POST pod/hmac/verify "content=Old+MacDonald+Had+A+Horse&uuid=UUID&signature=$text"
    """.replace("UUID", pod.uuid)
    said = [
        line.strip().split(" ")[0] for line in inside(pod.pods, pod.uuid, script, app=app) if line.strip()
    ]
    assert said == ["200", "200", "403"]
