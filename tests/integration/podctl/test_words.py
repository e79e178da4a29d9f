# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""How podctl reads its words, as scripts of rkt write them, and how it tells errors: with real pods."""

from __future__ import annotations

import json
import os
import pathlib
import stat
import subprocess

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import PODCTL, SECONDS, PodHost

NOBODY = 65534
VOLUME = "--volume=data,kind=empty"


@pytest.mark.behaviour("A1", "A2", "G7")
def test_commands_are_abbreviated_explained_and_unknown(pods: PodHost) -> None:
    uuid = pods.ok("prep", "--quiet", pods.image)
    assert pods.ok("stat", uuid).splitlines()[0] == "state=prepared"
    assert uuid in pods.ok("l", "--full")
    # Without what tells how long ago something was, which may change in between.
    fields = "--fields=id,name,size"
    assert pods.ok("image", "l", fields) == pods.ok("im", "li", fields)
    assert pods.ok("image", "l").splitlines()[0] == pods.ok("im", "li").splitlines()[0]
    done = pods.podctl("r", uuid)
    assert (done.status, done.err.splitlines()[0]) == (254, 'Error: unknown command "r" for "podctl"')
    done = pods.podctl()
    assert (done.status, done.err.splitlines()[-1]) == (2, "missing command")
    assert "Commands:" in done.err
    done = pods.podctl("x", "y")
    assert (done.status, done.err.splitlines()[0]) == (254, 'Error: unknown command "x" for "podctl"')
    for words in (("help", "run"), ("run", "--help")):
        done = pods.podctl(*words)
        assert (done.status, done.err) == (0, "")
        assert "podctl run" in done.out and "--set-env=" in done.out
    for words in (("list", "--frob"), ("run", "--frob", pods.image), ("status", "--wait-ready=x", "--frob")):
        done = pods.podctl(*words)
        assert (done.status, done.err.splitlines()[:2]) == (254, ["Error: unknown flag: --frob", "Usage:"])
    assert pods.podctl("rm", uuid).status == 0


@pytest.mark.behaviour("A3", "A4")
def test_flags_before_the_command_and_after_images(pods: PodHost) -> None:
    where = [word for word in pods.where if not word.startswith("--insecure-options")]

    def run(*words: str) -> tuple[int, str]:
        argv = [PODCTL, *where, *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=SECONDS)
        return done.returncode, done.stdout

    assert run("--net=none", "run", pods.image)[0] == 254  # it has no signature
    env = ["--exec=/bin/env", "--name=app"]
    for before, after in (
        (("--net=none", "--insecure-options=image", "--set-env=MARK=x", "run", pods.image, *env), ()),
        (("--insecure-options", "image", "--set-env", "MARK=x", "run", "--net=none", pods.image, *env), ()),
        (("run", pods.image, "--insecure-options=image", *env, "--net=none"), ("--set-env=MARK=x",)),
        (
            ("--debug", "run", pods.image, *env, "--insecure-options=image", "--net=none"),
            ("--set-env=MARK=x",),
        ),
    ):
        status, out = run(*before, *after)
        assert (status, "MARK=x" in out) == (0, True), (before, after)
    status, out = run("--pretty-print=false", "config")
    assert (status, len(out.splitlines())) == (0, 1)
    assert run("--pull-policy=new", "fetch", pods.image, "--insecure-options=image")[0] == 0
    assert run("--format=json", "--full=true", "list")[0] == 0
    # The next word is its value, unless it begins with a dash.
    assert run("--set-env", "run", pods.image)[0] == 254
    assert run("--net", "--insecure-options=image", "run", pods.image, "--exec=/bin/true")[0] == 0


def as_nobody(pods: PodHost, *words: str) -> subprocess.CompletedProcess[str]:
    """Call podctl as a user who is not root, with rkt's experiments."""
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    env = {**os.environ, "RKT_EXPERIMENT_ATTACH": "true", "RKT_EXPERIMENT_APP": "true"}
    argv = [*drop, PODCTL, *pods.where[:-1], *words]
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=SECONDS)


@pytest.mark.behaviour("A5")
def test_some_commands_are_for_root(pods: PodHost) -> None:
    for words in (
        *(("run", "x"), ("prepare", "x"), ("run-prepared", "x"), ("enter", "x"), ("rm", "x"), ("gc",)),
        *(("attach", "x"), ("export", "x", "y.aci"), ("cp", "x:/", "y"), ("pause", "x"), ("unpause", "x")),
        *(("app", "add", "x", "y"), ("app", "sandbox"), ("app", "rm", "x")),
    ):
        done = as_nobody(pods, *words)
        prefix = words[1] if words[0] == "app" else words[0]
        assert (done.returncode, done.stderr) == (254, f"{prefix}: cannot run as unprivileged user\n")


@pytest.mark.behaviour("A5")
def test_other_commands_fail_where_files_let_nobody_else_in(pods: PodHost) -> None:
    uuid = pods.ok("prepare", "--quiet", pods.image)
    for words in (
        *(("fetch", pods.image), ("list",), ("status", uuid), ("stop", uuid), ("trust", "--root", "/x")),
        *(("image", "list"), ("image", "rm", "x"), ("image", "gc"), ("cat-manifest", uuid)),
    ):
        done = as_nobody(pods, *words)
        assert "cannot run as unprivileged user" not in done.stderr, words
        assert (done.returncode, "Traceback" in done.stderr, done.stderr != "") == (254, False, True), words
    assert as_nobody(pods, "version").returncode == 0
    assert pods.state(uuid) == "prepared"


@pytest.mark.behaviour("A6", "A7", "G8")
def test_an_error_is_a_line_and_with_debug_every_cause_is_one(pods: PodHost) -> None:
    words = ("run", "--net=none", "/no/such.aci")
    done = pods.podctl(*words)
    assert (done.status, done.out) == (254, "")
    (line, *hints) = done.err.splitlines()
    assert line.startswith("run: ") and "no such" in line.lower()
    assert all(hint.startswith("run: hint: ") for hint in hints)
    debugged = pods.podctl("--debug", *words).err
    chain = [each for each in debugged.splitlines() if "└─" in each]
    depths = [len(each) - len(each.lstrip()) for each in chain]
    assert chain != [] and depths == sorted(depths)
    done = pods.podctl("image", "rm", "example.com/none")
    assert done.err.splitlines()[0].startswith("rm: ")
    done = pods.podctl("run", "--net=none", "--pull-policy=never", "example.com/none")
    assert (done.status, "└─" in done.err) == (254, False)


@pytest.mark.behaviour("A9", "A50")
def test_the_configuration_is_merged_entry_by_entry(pods: PodHost) -> None:
    places = {name: pods.base / f"conf-{name}" for name in ("system", "local", "user")}

    def write(place: str, folder: str, name: str, document: dict[str, object]) -> None:
        path = places[place] / folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"rktVersion": "v1", **document}))
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)

    def login(domain: str, user: str) -> dict[str, object]:
        credentials = {"user": user, "password": "secret"}
        return {"rktKind": "auth", "domains": [domain], "type": "basic", "credentials": credentials}

    write("system", "auth.d", "all", login("a.example.com", "system"))
    write("system", "auth.d", "two", login("b.example.com", "system"))
    write("local", "auth.d", "one", login("b.example.com", "local"))
    write("user", "auth.d", "own", login("c.example.com", "user"))
    write(
        "system", "paths.d", "p", {"rktKind": "paths", "data": "/system/data", "stage1-images": "/system/s"}
    )
    write("local", "paths.d", "p", {"rktKind": "paths", "data": "/local/data"})
    flags = [f"--{name}-config={path}" for name, path in places.items()]
    done = subprocess.run([PODCTL, *flags, "config"], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)["stage0"]
    users = {one["domains"][0]: one["credentials"]["user"] for one in found if one["rktKind"] == "auth"}
    assert users == {"a.example.com": "system", "b.example.com": "local", "c.example.com": "user"}
    (paths,) = [one for one in found if one["rktKind"] == "paths"]
    assert (paths["data"], paths["stage1-images"]) == ("/local/data", "/system/s")
    assert [one["rktKind"] for one in found][-2:] == ["paths", "stage1"]
    assert all(one["rktVersion"] == "v1" for one in found)
    pretty, short = (
        subprocess.run([PODCTL, *flags, "config", flag], capture_output=True, text=True, check=True).stdout
        for flag in ("--pretty-print=true", "--pretty-print=false")
    )
    assert json.loads(pretty) == json.loads(short) and len(pretty.splitlines()) > len(short.splitlines()) == 1


GRAMMAR = {
    "arguments without an image": (("--", "x"), "an image is required before any app arguments"),
    "two lists": (("I", "--", "x", "---", "--", "y"), "only one set of app arguments allowed per image"),
    "a flag too early": (("--name=x", "I"), "--name must follow an image"),
    "a mount of no volume": (
        ("I", "--mount=volume=none,target=/x"),
        'dangling mount point "/x": volume "none" not found',
    ),
    "a mount of no volume for all": (
        ("--mount=volume=none,target=/x", "I"),
        'dangling mount point "/x": volume "none" not found',
    ),
    "no call that exists": (
        ("I", "--seccomp=mode=retain,opennat,@no/set"),
        "retains are known here: @no/set, opennat",
    ),
    "no mode": (("I", "--seccomp=mode=allow,read"), "invalid seccomp mode command-line override"),
    "another key": (("I", "--seccomp=mode=retain,x=y"), "invalid seccomp command-line override"),
}


@pytest.mark.behaviour("A12", "A13", "A14", "A18")
@pytest.mark.parametrize("verb", ["run", "prepare"])
@pytest.mark.parametrize(("words", "message"), GRAMMAR.values(), ids=GRAMMAR)
def test_a_line_that_cannot_be_read_makes_no_pod(
    pods: PodHost, verb: str, words: tuple[str, ...], message: str
) -> None:
    done = pods.podctl(verb, *(pods.image if word == "I" else word for word in words))
    assert (done.status, message in done.err) == (254, True), done.err
    assert pods.uuids() == []


@pytest.mark.behaviour("A12")
def test_fetch_takes_no_arguments_of_apps(pods: PodHost) -> None:
    done = pods.podctl("fetch", pods.image, "--", "x")
    assert done.status == 254
    assert "unable to parse arguments: app arguments unsupported" in done.err


@pytest.mark.behaviour("A11", "A12", "A13", "A14", "A15")
def test_flags_arguments_and_mounts_are_those_of_their_image(pods: PodHost) -> None:
    script = "test -e /all && echo all; test -e /own && echo own; echo $MARK"
    shell = ("--exec=/bin/sh", "--", "-c", script, "--", "--name=literal", "---")
    done = pods.podctl(
        *("run", "--net=none", VOLUME, "--mount=volume=data,target=/all"),
        *(pods.image, "--name=one", "--environment=MARK=1", "--mount=volume=data,target=/own", *shell),
        *("", pods.image, "--name=two", "--environment=MARK=2", *shell),
    )
    assert done.status == 0, done.err
    assert sorted(done.said) == [("one", "1"), ("one", "all"), ("one", "own"), ("two", "2"), ("two", "all")]


@pytest.mark.behaviour("A18", "C50")
def test_a_filter_on_the_command_line_is_what_the_kernel_does(pods: PodHost) -> None:
    script = "mkdir /tmp/x 2>&1 || exit 3"
    flag = "--seccomp=mode=remove,errno=ENOSPC,mkdir,mkdirat"
    done = pods.sh(script, flag)
    assert (done.status, "No space left on device" in done.out) == (3, True), done.err
    assert pods.sh("mkdir /tmp/x", "--seccomp=mode=retain,@docker/default-whitelist").status == 0


@pytest.mark.behaviour("A49", "A51")
def test_the_version_and_the_completion(pods: PodHost) -> None:
    lines = pods.ok("version").splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        *("podctl Version", "appc Version", "Python Version", "OS/Arch", "Features"),
    ]
    assert lines[1] == "appc Version: 0.8.11"
    script = pods.base / "completion"
    script.write_text(pods.ok("completion", "bash"))
    asks = f". {script}; COMP_WORDS=(podctl run-p); COMP_CWORD=1; {{}}; echo ${{{{COMPREPLY[@]}}}}"
    function = next(line for line in script.read_text().splitlines() if line.startswith("complete "))
    name = function.split("-F ")[1].split()[0]
    done = subprocess.run(
        ["bash", "-c", asks.format(f"{name} podctl run-p podctl")], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["run-prepared"]
    done = pods.podctl("api-service")
    assert (done.status, "unknown command" in done.err) == (254, True)


@pytest.mark.behaviour("A47")
def test_the_manifest_of_a_pod_is_printed(pods: PodHost, tmp_path: pathlib.Path) -> None:
    uuid = pods.ok("prepare", "--quiet", pods.image)
    pretty = pods.ok("cat-manifest", uuid)
    assert pretty.splitlines()[1].startswith("\t")
    short = pods.ok("cat-manifest", "--pretty-print=false", uuid)
    assert len(short.splitlines()) == 1
    assert json.loads(pretty) == json.loads(short)
    assert json.loads(short)["apps"][0]["name"] == "busybox"
    file = tmp_path / "uuid"
    file.write_text(f"{uuid}\n")
    assert pods.ok("cat-manifest", f"--uuid-file={file}") == pretty


@pytest.mark.behaviour("A10")
@pytest.mark.parametrize(
    ("given", "lifted"),
    [
        (("image",), ""),
        (("image,capabilities",), "capabilities"),
        (("image,PATHS",), "paths"),
        (("IMAGE,seccomp",), "seccomp"),
        (("image,all-run",), "capabilities paths seccomp"),
        (("all-fetch",), ""),
        (("all",), "capabilities paths seccomp"),
        (("all", "image"), ""),
        (("image", "all"), "capabilities paths seccomp"),
    ],
    ids=str,
)
def test_insecure_options_lift_what_they_name_and_the_last_flag_counts(
    pods: PodHost, given: tuple[str, ...], lifted: str
) -> None:
    script = "grep -E '^(CapBnd|Seccomp):' /proc/self/status; head -c1 /proc/kallsyms | wc -c"
    flags = tuple(f"--insecure-options={text}" for text in given)
    done = pods.sh(script, pod_flags=("--net=none", *flags))
    bounding, seccomp, shown = (text.split()[-1] for text in done.texts)
    found = [
        *(["capabilities"] if int(bounding, 16) != 0xA80425FB else []),
        *(["paths"] if shown == "1" else []),
        *(["seccomp"] if seccomp == "0" else []),
    ]
    assert (done.status, " ".join(found)) == (0, lifted), done.err


@pytest.mark.behaviour("A10")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("image,x", 'unknown option "x"'),
        ("image,tls,image", 'duplicated option "image"'),
        ("none", "cannot verify"),
        ("tls,http,ondisk,pubkey", "cannot verify"),
    ],
)
def test_insecure_options_that_are_wrong_or_do_not_help(pods: PodHost, given: str, said: str) -> None:
    done = pods.podctl("run", "--net=none", f"--insecure-options={given}", pods.image)
    assert (done.status, said in done.err) == (254, True), done.err
