# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Command lines: which word is a flag, a value, an image or an argument."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.flags import (
    EITHER,
    IMAGE,
    AppWords,
    Flag,
    FlagSet,
    FlagValues,
    Given,
    UsageError,
    parse_bool,
    split_command,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec

FLAGS = FlagSet(
    (
        Flag("debug", "", "", bare="true"),
        Flag("dir", "DIR", ""),
        Flag("net", "NAME", "", bare="default"),
        Flag("mount", "M", "", scope=EITHER),
        Flag("exec", "PATH", "", scope=IMAGE, once=True),
        Flag("name", "NAME", "", scope=IMAGE),
        Flag("oom", "N", "", scope=IMAGE),
        Flag("oom-alias", "N", "", scope=IMAGE, means="oom"),
    )
)


def read(*words: str) -> tuple[tuple[AppWords, ...], dict[str, tuple[str, ...]]]:
    found = FLAGS.parse_images(words)
    return found.apps, {given.name: found.options.all(given.name) for given in found.given}


@pytest.mark.behaviour("A11")
@pytest.mark.parametrize(
    ("words", "apps"),
    [
        pytest.param(("a",), (AppWords("a"),), id="one image"),
        pytest.param(("", "a", ""), (AppWords("a"),), id="an empty word is skipped"),
        pytest.param(("a", "b"), (AppWords("a"), AppWords("b")), id="two images"),
        pytest.param(
            ("a", "--", "-u", "--net", "--", "x"),
            (AppWords("a", args=("-u", "--net", "--", "x")),),
            id="everything after -- is literal",
        ),
        pytest.param(
            ("a", "--", "1", "---", "b", "--", "2"),
            (AppWords("a", args=("1",)), AppWords("b", args=("2",))),
            id="--- ends the arguments",
        ),
        pytest.param(("a", "---", "b"), (AppWords("a"), AppWords("b")), id="a stray --- is ignored"),
        pytest.param(("a", "--"), (AppWords("a"),), id="no arguments after --"),
        pytest.param(
            ("a", "--exec", "/x", "--debug", "b", "--exec=/y z"),
            (AppWords("a", (Given("exec", "/x"),)), AppWords("b", (Given("exec", "/y z"),))),
            id="flags bind to the image before them",
        ),
        pytest.param(("-",), (AppWords("-"),), id="a dash is no flag"),
    ],
)
def test_words_become_images(words: tuple[str, ...], apps: tuple[AppWords, ...]) -> None:
    assert read(*words)[0] == apps


@pytest.mark.behaviour("A4", "A11")
def test_a_flag_of_the_pod_may_stand_behind_an_image() -> None:
    apps, given = read("a", "--dir", "/d", "--", "x", "---", "--net=n")
    assert (apps, given) == ((AppWords("a", args=("x",)),), {"dir": ("/d",), "net": ("n",)})


def test_a_flag_with_a_bare_meaning_takes_no_word() -> None:
    apps, given = read("--net", "host", "--net=")
    assert (apps, given) == ((AppWords("host"),), {"net": ("default", "")})


@pytest.mark.behaviour("A13")
def test_a_mount_before_any_image_is_for_all() -> None:
    apps, given = read("--mount=g", "a", "--mount=m")
    assert given == {"mount": ("g",)}
    assert apps == (AppWords("a", (Given("mount", "m"),)),)


def test_an_alias_counts_as_the_flag_that_it_means() -> None:
    assert read("a", "--oom-alias=1")[0][0].options.text("oom") == "1"


@pytest.mark.behaviour("A2", "A13")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(("--frob",), "unknown flag: --frob", id="unknown"),
        pytest.param(("-x",), "unknown shorthand flag: 'x' in -x", id="short"),
        pytest.param(("--dir",), "flag needs an argument: --dir", id="no value"),
        pytest.param(
            ("--debug=maybe",),
            'invalid argument "maybe" for "--debug" flag: "maybe" is not a boolean',
            id="no boolean",
        ),
        pytest.param(
            ("--exec=/x", "a"),
            'invalid argument "/x" for "--exec" flag: --exec must follow an image',
            id="too early",
        ),
    ],
)
def test_a_command_line_that_cannot_be_read(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(*words)
    assert caught.value.message == message


@pytest.mark.behaviour("A12", "A13")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(("--", "x"), "an image is required before any app arguments", id="no image"),
        pytest.param(
            ("a", "--", "x", "---", "--", "y"),
            "only one set of app arguments allowed per image",
            id="two sets",
        ),
        pytest.param(
            ("a", "--exec=/x", "--exec=/y"), "--exec specified multiple times for the same image", id="twice"
        ),
        pytest.param(("a", "--frob"), "unknown flag: --frob", id="unknown flag"),
    ],
)
def test_an_argument_list_that_cannot_be_read(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        read(*words)
    assert caught.value.message == f"error parsing app image arguments: {message}"


@pytest.mark.behaviour("A12")
def test_fetch_takes_no_app_arguments() -> None:
    with pytest.raises(InvalidSpec) as caught:
        FLAGS.parse_images(("a", "--", "x"), app_arguments=False)
    assert caught.value.message == "unable to parse arguments: app arguments unsupported"


@pytest.mark.behaviour("A3")
@pytest.mark.parametrize(
    ("words", "before"),
    [
        pytest.param(("run", "--x"), (), id="no flag"),
        pytest.param(("--net=host", "run"), ("--net=host",), id="with ="),
        pytest.param(("--debug", "run"), ("--debug",), id="a global boolean takes no word"),
        pytest.param(("--dir", "/d", "run"), ("--dir", "/d"), id="anything else takes the next word"),
        pytest.param(("--net", "--debug", "run"), ("--net", "--debug"), id="but not a flag"),
        pytest.param(("-h", "run"), ("-h",), id="help"),
        pytest.param(("--help",), ("--help",), id="help alone"),
    ],
)
def test_flags_may_stand_before_the_command(words: tuple[str, ...], before: tuple[str, ...]) -> None:
    assert split_command(words, ("debug",)) == (before, words[len(before) :])


def test_plain_arguments_and_flags_mix() -> None:
    found = FLAGS.parse(("u", "--debug", "v", "--", "--dir"))
    assert (found.arguments, found.options.on("debug")) == (("u", "v", "--dir"), True)


@pytest.mark.behaviour("A45")
def test_the_first_argument_may_end_the_flags() -> None:
    found = FLAGS.parse(("--debug", "u", "--dir", "x"), first_ends=True)
    assert (found.arguments, found.options.has("dir")) == (("u", "--dir", "x"), False)


def test_the_last_value_counts() -> None:
    options = FlagValues((Given("a", "1"), Given("a", "2")))
    assert (options.text("a"), options.all("a"), options.text("b", "none")) == ("2", ("1", "2"), "none")


@pytest.mark.behaviour("A63")
def test_booleans_are_those_of_go() -> None:
    assert all(parse_bool(text) for text in ("1", "t", "T", "TRUE", "true", "True"))
    assert not any(parse_bool(text) for text in ("0", "f", "F", "FALSE", "false", "False"))
    with pytest.raises(InvalidSpec):
        parse_bool("yes")
