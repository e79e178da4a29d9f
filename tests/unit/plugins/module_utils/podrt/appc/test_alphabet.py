# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The checks of names are written by hand, since every start runs them; regular expressions state them more clearly."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import check_environment
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import (
    ACIdentifier,
    ACName,
    ImageHash,
    ImageID,
    SemVer,
    acname_from,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import (
    DockerReference,
    LocalFile,
    parse_reference,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.conf import NetConf
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import rules_of
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.types.bridge import Bridge
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.names import PodName, is_uuid

DIGEST = "0123456789abcdef" * 4
UUID = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"


def made_by(make):
    """Whether a type accepts a text."""

    def check(text):
        try:
            make(text)
        except InvalidSpec:
            return False
        return True

    return check


def network(text):
    return NetConf.parse(json.dumps({"name": text, "type": "ptp"}).encode(), "10-net.conf")


CHECKS = {
    "ACName": (made_by(ACName), r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"),
    "ACIdentifier": (made_by(ACIdentifier), r"[a-z0-9]([-._~/a-z0-9]*[a-z0-9])?"),
    "ImageID": (made_by(ImageID), r"(?s)sha512-[0-9a-f]{64}.*"),
    "ImageHash": (made_by(ImageHash), r"(?s)sha512-([0-9a-f]{2,63}|[0-9a-f]{64}.*)"),
    "SemVer": (
        made_by(SemVer),
        r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)([-+][0-9A-Za-z.+-]+)?",
    ),
    "variable": (made_by(lambda text: check_environment(((text, ""),), "")), r"[A-Za-z_][A-Za-z0-9_.-]*"),
    "registry": (
        made_by(lambda text: DockerReference(text, "app", "1")),
        r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?",
    ),
    "repository": (
        made_by(lambda text: DockerReference("localhost", text, "1")),
        rf"{COMPONENT}(?:/{COMPONENT})*",
    ),
    "tag": (
        made_by(lambda text: DockerReference("localhost", "app", text)),
        r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}",
    ),
    "digest": (made_by(lambda text: DockerReference("localhost", "app", "", text)), r"sha256:[0-9a-f]{64}"),
    "pod": (made_by(PodName), r"(?!.*\.tmp$)[A-Za-z0-9][A-Za-z0-9_.-]*"),
    "uuid": (is_uuid, r"(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "bridge": (
        made_by(lambda text: Bridge.from_fields(Fields({"bridge": text}, ""))),
        r"(?!\.{1,2}$)[A-Za-z0-9_.-]{1,15}",
    ),
    "network": (made_by(network), r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}"),
    "holder of rules": (made_by(lambda text: rules_of(text, (), (), ())), r"[0-9A-Za-z-]{1,64}"),
}
# Valid names, to be changed by one character; and characters that look as if they belonged to an alphabet.
NAMES = [
    "a",
    "A",
    "_",
    "0",
    "1.2.3",
    "1.2.3-rc.1+b",
    "a-b",
    "a--b",
    "a.b",
    "a_b",
    "a__b",
    "a___b",
    "x/y.z/w-0",
]
NAMES += ["example.com:5000", "[::1]:80", "[::1]", "cni0", ".", "..", "a" * 15, "a" * 16, "A" * 64, "a.tmp"]
NAMES += [
    UUID,
    UUID.upper(),
    f"sha256:{DIGEST}",
    f"sha512-{DIGEST}",
    f"sha512-{DIGEST}rest",
    "sha512-ab",
    "a" * 128,
]
ODD = " \n\t/.:-_~[]+@,AZaz09gé\u0130\u212a\u017f\u0660"


def changed():
    """A name with a few characters replaced."""
    edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1), st.sampled_from(ODD)), max_size=3)

    def apply(name, wanted):
        for where, length, letter in wanted:
            at = int(where * len(name))
            name = name[:at] + letter + name[at + length :]
        return name

    return st.builds(apply, st.sampled_from(NAMES), edits)


@pytest.mark.parametrize("what", CHECKS)
@given(text=st.one_of(changed(), st.text(ODD, max_size=6)))
@example("a\n")
@example("")
def test_a_name_is_what_its_pattern_says(what, text):
    check, pattern = CHECKS[what]
    if text == "" and what in ("tag", "digest"):
        return  # there is one of the two
    # No name is longer than 200 characters, which no pattern says; those here are shorter.
    assert check(text) == bool(re.fullmatch(pattern, text)) or (what == "pod" and is_uuid(text))


@given(text=st.text(ODD + "aaa", min_size=1))
def test_the_nearest_name_is_what_patterns_make(text):
    wanted = re.sub(r"-+", "-", re.sub(r"[^a-z0-9-]", "-", text.lower())).strip("-")
    if wanted:
        assert acname_from(text) == wanted
    else:
        assert not made_by(acname_from)(text)


@given(scheme=st.one_of(changed(), st.text(ODD, max_size=4)))
def test_a_scheme_is_what_its_pattern_says(scheme):
    text = f"{scheme}:///x.aci"
    is_file = bool(re.fullmatch("[A-Za-z][A-Za-z0-9+.-]*", scheme)) and scheme.lower() == "file"
    found = made_by(parse_reference)(text) and parse_reference(text) == LocalFile("/x.aci")
    assert found == is_file or scheme.startswith("/")
