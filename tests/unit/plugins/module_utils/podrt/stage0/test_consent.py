# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an image's isolators ask for beyond the defaults, what becomes of it, and its documentation."""

from __future__ import annotations

import pathlib
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc import isolators as known
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import App
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.capabilities import DEFAULT, NAMES
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.confinement import (
    AppArmor,
    SeccompProfile,
    SelinuxContext,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import Image, ImageManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.isolators import (
    Capabilities,
    Cpu,
    CpuShares,
    Memory,
    NoNewPrivileges,
    OomScoreAdj,
    Pids,
    Rlimits,
    Seccomp,
    Sysctl,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.labels import Labels
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import (
    ACIdentifier,
    ACName,
    ImageID,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.resources import (
    DEVICE_RATES,
    BlkioWeight,
    Cpuset,
    DeviceRates,
    EveryDevice,
    MemoryReservation,
    MemorySwap,
    NetworkBandwidth,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.limits import PIDS_OF_APP
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import RunSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.seccomp import sets
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.seccomp.filters import CHECKED, profile_of
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.consent import (
    DEFAULT_SHARES,
    judge,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.manifest import (
    BeyondDefaults,
    Preparation,
    build_manifest,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.spec import AppSpec, PodSpec

if TYPE_CHECKING:
    from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.isolators import Isolator

CHECKOUT = pathlib.Path(__file__).resolve().parents[6]
WHITELIST = "@docker/default-whitelist"
EVIL = (
    Capabilities("retain", ("CAP_CHOWN", "CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN")),
    Seccomp("retain", ("@appc.io/all",)),
)

# Isolators of images, what lies within the defaults, and the names of what lies beyond.
WITHIN: list[Isolator] = [
    Memory(1 << 24),
    Cpu(500),
    CpuShares(1024),
    CpuShares(2),
    OomScoreAdj(0),
    OomScoreAdj(1000),
    Pids(2048),
    Pids(1),
    NoNewPrivileges(True),
    NoNewPrivileges(False),
    Capabilities("retain", DEFAULT),
    Capabilities("retain", ()),
    Capabilities("remove", ("CAP_SYS_ADMIN", "CAP_CHOWN")),
    Seccomp("retain", (WHITELIST,)),
    Seccomp("retain", ("@rkt/default-whitelist",), "ENOTSUP"),
    Seccomp("retain", ("@pods/clone", "@unknown/set", "execve", "read"), "EPERM"),
    Seccomp("remove", ("@appc.io/empty",)),
    EveryDevice("bandwidth", 1000000),
    EveryDevice("iops", 5),
    NetworkBandwidth(1000000),
]
BEYOND: list[tuple[Isolator, Isolator | None, set[str]]] = [
    (EVIL[0], Capabilities("retain", ("CAP_CHOWN",)), {"CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN"}),
    (Capabilities("retain", ("CAP_FLY",)), Capabilities("retain", ()), {"CAP_FLY"}),
    (EVIL[1], None, {"@appc.io/all"}),
    (Seccomp("retain", ("mount", "read"), "EPERM"), Seccomp("retain", ("read",), "EPERM"), {"mount"}),
    (Seccomp("retain", ("bpf",)), Seccomp("retain", ("execve",)), {"bpf"}),
    (
        Seccomp("retain", ("clone", "read")),
        Seccomp("retain", ("@pods/clone", "read")),
        {"clone with any arguments"},
    ),
    (
        Seccomp("retain", ("@systemd/mount", WHITELIST)),
        Seccomp("retain", (WHITELIST, "chroot")),
        {"mount", "pivot_root", "umount", "umount2"},
    ),
    (CpuShares(1025), None, {"1025"}),
    (OomScoreAdj(-1), None, {"-1"}),
    (Pids(-1), None, {"-1"}),
    (Pids(2049), None, {"2049"}),
    (
        Sysctl((("net.ipv4.ip_forward", "1"), ("kernel.shmmax", "1"))),
        None,
        {"net.ipv4.ip_forward", "kernel.shmmax"},
    ),
    (MemoryReservation(1 << 20), None, {"1Mi"}),
    (MemorySwap(-1), None, {"-1"}),
    (Cpuset("cpus", "0-1"), None, {"0-1"}),
    (Cpuset("mems", "0"), None, {"0"}),
    (BlkioWeight(1000), None, {"1000"}),
    *((DeviceRates(of, (("/dev/sda", 1),)), None, {"{'/dev/sda': 1}"}) for of in DEVICE_RATES),
    (Rlimits((("core", 0, 0),)), None, {"{'core': {'soft': 0, 'hard': 0}}"}),
    (AppArmor("unconfined"), None, {"unconfined"}),
    (
        SelinuxContext("u", "r", "t", "s0"),
        None,
        {str({"user": "u", "role": "r", "type": "t", "level": "s0"})},
    ),
    (SeccompProfile("", '{"a":1}'), None, {"{'file': '', 'profile': {'a': 1}}"}),
]


@pytest.mark.finding("attack-F1")
@pytest.mark.parametrize("isolator", WITHIN, ids=str)
def test_what_narrows_is_taken_as_it_is(isolator: Isolator) -> None:
    assert judge((isolator,)) == ((isolator,), ())


@pytest.mark.finding("attack-F1")
@pytest.mark.behaviour("C2", "C47")
@pytest.mark.parametrize(("isolator", "within", "names"), BEYOND, ids=[str(each[0]) for each in BEYOND])
def test_what_lies_beyond_is_taken_off_by_name(
    isolator: Isolator, within: Isolator | None, names: set[str]
) -> None:
    kept, (found,) = judge((isolator,))
    assert kept == ((within,) if within else ())
    assert (found.isolator, set(found.names)) == (isolator.name, names)
    assert judge(kept) == (kept, ())


@pytest.mark.finding("attack-F1")
@pytest.mark.parametrize(
    ("removed", "errno", "lost"),
    [
        (("@docker/default-blacklist",), "", ()),
        (("mkdir", "clone"), "ENOTSUP", ("mkdir", "clone")),
        (("@rkt/default-whitelist",), "", None),
    ],
)
def test_a_set_that_removes_becomes_the_default_without_it(
    removed: tuple[str, ...], errno: str, lost: tuple[str, ...] | None
) -> None:
    (kept,), (found,) = judge((Seccomp("remove", removed, errno),))
    assert found.names[0] == "all calls that it does not name"
    assert {"io_uring_setup", "open_tree"} <= set(found.names)
    default, narrowed = calls_of(), calls_of(kept)
    assert narrowed == (default - set(lost) if lost is not None else set(sets.ALWAYS + sets.OURS))
    assert kept.errno == (errno or "EPERM")  # type: ignore[union-attr]


def calls_of(*isolators: Isolator) -> set[str]:
    """The calls that a filter allows; a call with checked arguments counts less than one with any."""
    found = profile_of(App(("/run",), "0", "0", isolators=isolators), "aarch64")
    assert found and found.action == "allow"
    return {*found.names, *found.checked} if not set(found.names) & set(CHECKED) else {"any arguments"}


ITEMS = st.sampled_from([
    *sets.DOCKER_WHITELIST, *sets.DOCKER_BLACKLIST, "@appc.io/all", "@appc.io/empty", "@docker/default-whitelist",
    "@docker/default-blacklist", "@rkt/default-whitelist", "@unknown/set", "io_uring_setup", "no_such_call",
    *(f"@systemd/{name}" for name in sets.SYSTEMD), *(f"@pods/{name}" for name in CHECKED),
])  # fmt: skip


@pytest.mark.finding("attack-F1")
@given(
    st.sampled_from(["retain", "remove"]),
    st.sets(ITEMS, min_size=1, max_size=6),
    st.sampled_from(["", "EPERM"]),
)
def test_no_filter_of_an_image_allows_what_the_default_refuses(
    mode: str, items: set[str], errno: str
) -> None:
    kept, _beyond = judge((Seccomp(mode, tuple(sorted(items)), errno),))
    assert calls_of(*kept) <= calls_of() | {*sets.ALWAYS, *sets.OURS}


@pytest.mark.finding("attack-F1")
@given(st.sampled_from(["retain", "remove"]), st.sets(st.sampled_from(NAMES)))
def test_no_capability_of_an_image_is_beyond_the_default(mode: str, names: set[str]) -> None:
    (kept,), beyond = judge((Capabilities(mode, tuple(sorted(names))),))
    assert isinstance(kept, Capabilities)
    assert mode == "remove" or set(kept.names) == names & set(DEFAULT)
    assert {name for each in beyond for name in each.names} == (
        names - set(DEFAULT) if mode == "retain" else set()
    )


def test_an_isolator_that_nobody_has_thought_of_lies_beyond() -> None:
    assert judge((AppArmor("unconfined"),))[0] == ()


def image(*isolators: Isolator) -> Image:
    app = App(("/evil",), "0", "0", isolators=isolators)
    manifest = ImageManifest(ACIdentifier("example.com/evil"), Labels.of(os="linux", arch="amd64"), app)
    return Image(ImageID("sha512-" + "ab" * 32), manifest)


def built(
    *isolators: Isolator,
    configured: str = "refuse",
    pod: str = "",
    insecure: tuple[str, ...] = (),
    **app: object,
) -> Preparation:
    spec = PodSpec(
        (AppSpec(parse_reference("example.com/evil"), **app),),  # type: ignore[arg-type]
        run=RunSpec(insecure=insecure),
        image_isolators=pod,
    )
    return build_manifest(spec, (image(*isolators),), str, lambda _image: configured)


def isolators_of(found: Preparation) -> tuple[Isolator, ...]:
    (app,) = found.manifest.apps
    assert app.app
    return app.app.isolators


@pytest.mark.finding("attack-F1")
def test_a_refusal_names_app_isolator_each_name_and_the_ways_to_consent() -> None:
    with pytest.raises(BeyondDefaults) as caught:
        built(*EVIL, name=ACName("web"))
    assert caught.value.kind == "untrusted"
    assert str(caught.value) == (
        'more than the defaults allow: app "web": example.com/evil asks for '
        "os/linux/capabilities-retain-set: CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN; "
        "os/linux/seccomp-retain-set: @appc.io/all"
    )
    assert {"accept", "narrow", "caps_retain", "seccomp"} <= set(re.findall(r"\w+", caught.value.hint))
    assert caught.value.facts["beyond"] == {
        "web": {
            "os/linux/capabilities-retain-set": ["CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN"],
            "os/linux/seccomp-retain-set": ["@appc.io/all"],
        }
    }


@pytest.mark.finding("attack-F1")
@pytest.mark.parametrize(
    "said",
    [{"pod": "accept"}, {"image_isolators": "accept", "pod": "refuse"}, {"configured": "accept"}],
    ids=["pod", "app", "host"],
)
def test_accept_is_what_rkt_did(said: dict[str, str]) -> None:
    found = built(*EVIL, **said)  # type: ignore[arg-type]
    assert (isolators_of(found), found.warnings) == (EVIL, ())


@pytest.mark.finding("attack-F1")
@pytest.mark.parametrize("said", [{"pod": "narrow"}, {"image_isolators": "narrow"}, {"configured": "narrow"}])
def test_narrow_takes_what_lies_within_and_warns(said: dict[str, str]) -> None:
    found = built(*EVIL, **said)  # type: ignore[arg-type]
    assert isolators_of(found) == (Capabilities("retain", ("CAP_CHOWN",)),)
    (warning,) = found.warnings
    assert "CAP_SYS_ADMIN" in warning and "@appc.io/all" in warning and 'app "evil"' in warning


@pytest.mark.finding("attack-F1")
def test_the_operators_own_isolators_are_consent_for_their_family_alone() -> None:
    own = (Capabilities("remove", ()), Seccomp("remove", ("reboot",)))
    assert isolators_of(built(*EVIL, isolators=own)) == own
    with pytest.raises(
        BeyondDefaults, match=r"^more than the defaults allow: app .* os/linux/seccomp-retain-set: "
    ):
        built(*EVIL, isolators=own[:1])
    assert isolators_of(built(OomScoreAdj(-500), isolators=(OomScoreAdj(-900),))) == (OomScoreAdj(-900),)


@pytest.mark.finding("attack-F1")
def test_an_insecure_option_lifts_its_family_and_a_later_run_without_it_has_the_default() -> None:
    found = built(*EVIL, insecure=("capabilities", "seccomp"))
    assert (isolators_of(found), found.warnings) == ((Capabilities("retain", ("CAP_CHOWN",)),), ())
    with pytest.raises(BeyondDefaults, match="seccomp-retain-set"):
        built(*EVIL, insecure=("capabilities", "paths"))


def test_the_configuration_is_asked_only_where_something_lies_beyond() -> None:
    spec = PodSpec((AppSpec(parse_reference("example.com/evil")),))

    def configured() -> str:
        raise AssertionError("nothing lies beyond")

    assert build_manifest(spec, (image(Memory(1 << 24)),), str, configured).warnings == ()


def rows() -> dict[str, tuple[str, str]]:
    """The table of the page: isolator, what lies beyond, what narrow makes of it."""
    page = (CHECKOUT / "docs" / "docsite" / "rst" / "hardening.rst").read_text()
    table = page.split(".. list-table::", 1)[1].split("\nThe default capabilities", 1)[0]
    found = re.findall(r"\* - ``(.+?)``\n +- ((?:.|\n)+?)\n     - ((?:.|\n)+?)\n(?=   \* -|\n|$)", table)
    return {name: (beyond, narrowed) for name, beyond, narrowed in found}


@pytest.mark.finding("attack-F1")
def test_the_page_says_isolator_by_isolator_what_the_code_does() -> None:
    found = rows()
    assert set(found) == set(known._READERS)
    asked = {isolator.name for isolator, _within, _names in BEYOND} | {"os/linux/seccomp-remove-set"}
    nothing = {name for name, (beyond, _narrowed) in found.items() if beyond.startswith("Nothing")}
    assert nothing == set(known._READERS) - asked
    assert {isolator.name for isolator in WITHIN} | asked == set(known._READERS)
    assert all(narrowed == "As it is" for name, (_beyond, narrowed) in found.items() if name in nothing)
    dropped = {isolator.name for isolator, within, _names in BEYOND if within is None} - {
        "os/linux/seccomp-retain-set"
    }
    assert {name for name, row in found.items() if row[1] in ("The default", "None of them")} == dropped
    assert found["os/linux/cpu-shares"][0] == f"More than {DEFAULT_SHARES}"
    assert found["resource/pids"][0] == f"More than {PIDS_OF_APP}, or no limit"


@pytest.mark.finding("attack-F1")
def test_the_page_lists_the_default_capabilities() -> None:
    page = (CHECKOUT / "docs" / "docsite" / "rst" / "hardening.rst").read_text()
    listed = page.split("The default capabilities are", 1)[1].split(".\n", 1)[0]
    assert tuple(re.findall(r"``(\w+)``", listed)) == DEFAULT


@pytest.mark.finding("http-F14")
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("policy", ["refuse", "narrow", "accept"])
def test_two_sets_that_remove_are_no_set_that_retains(policy: str, first: int) -> None:
    nothing, some = Seccomp("remove", ("@appc.io/empty",)), Seccomp("remove", ("mount",))
    asked = image(*((nothing, some) if first == 0 else (some, nothing)))
    spec = PodSpec((AppSpec(parse_reference("example.com/a")),), image_isolators=policy)
    try:
        built = build_manifest(spec, (asked,), str, lambda _image: policy)
    except BeyondDefaults:
        assert policy == "refuse"
        return
    app = built.manifest.apps[0].app
    assert app is not None
    modes = {isolator.mode for isolator in app.isolators if isinstance(isolator, Seccomp)}
    assert modes == ({"retain"} if policy == "narrow" else {"remove"})


@pytest.mark.finding("http-F14")
def test_what_an_image_asks_for_is_shown_in_part_when_it_is_long() -> None:
    context = SeccompProfile("", '{"user": "' + "u" * 1_000_000 + '"}')
    _within, beyond = judge((context,))
    assert all(len(name) < 300 for each in beyond for name in each.names)
