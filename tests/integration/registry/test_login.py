# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real registry with passwords: who is let in, and how hosts come to their credentials."""

from __future__ import annotations

import base64
import json
import pathlib
import shutil
import subprocess

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import HostFailure, Unreachable
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import programs
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks import run
from ansible_collections.stagecraft.pods.tests.integration.registry.conftest import _wait_for, free_port

pytestmark = pytest.mark.root
USER, PASSWORD = "deploy", "correct horse"
# That password by bcrypt, the one algorithm that the registry takes.
HTPASSWD = "deploy:$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e\n"
_CONFIG = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: "{folder}/data"}}}}
http: {{addr: "127.0.0.1:{port}"}}
auth: {{htpasswd: {{realm: pods, path: "{folder}/htpasswd"}}}}
"""


@pytest.fixture(scope="module", name="closed")
def _closed(tmp_path_factory):
    """The address of a registry that lets one user in."""
    if not shutil.which("docker-registry"):
        pytest.skip("needs docker-registry")
    folder, port = tmp_path_factory.mktemp("closed"), free_port()
    (folder / "htpasswd").write_text(HTPASSWD)
    (folder / "config.yml").write_text(_CONFIG.format(folder=folder, port=port))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log
        )
    try:
        _wait_for(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(name="host")
def _host(tmp_path):
    return Host.here(
        Paths(data=f"{tmp_path}/data", local_config=f"{tmp_path}/etc", system_config=f"{tmp_path}/lib")
    )


def task(host, module, check=False, **options):
    return run.TASKS[module](host, Fields({"insecure_options": ["image"], **options}, ""), check)


def push(host, reference):
    return task(
        host,
        "pod_image_build",
        name="example.com/x",
        format="oci",
        files=[{"dest": "/f", "content": "x"}],
        files_from="host",
        push=reference,
    )


@pytest.mark.behaviour("B36", "B39")
def test_a_host_that_is_logged_in_pushes_and_fetches(host, closed):
    reference = f"docker://{closed}/team/x:1"
    with pytest.raises(Unreachable, match="401"):
        push(host, reference)
    login = {"registry": closed, "username": USER, "password": PASSWORD}
    assert task(host, "pod_login", check=True, **login)["changed"]
    assert not pathlib.Path(host.paths.login(closed)).exists()
    assert task(host, "pod_login", **login)["changed"]
    assert not task(host, "pod_login", **login)["changed"]
    made = push(host, reference)
    assert made["image"]["digest"].startswith("sha256:")
    assert task(host, "pod_image", name=reference)["image"]["name"].endswith("team/x:1")
    assert not push(host, reference)["changed"]
    assert task(host, "pod_login", registry=closed, state="absent")["changed"]
    with pytest.raises(Unreachable, match="401"):
        push(host, reference)


@pytest.mark.parametrize("check", [True, False], ids=["check", "run"])
@pytest.mark.parametrize("given", [(USER, "wrong"), ("other", PASSWORD)], ids=["password", "user"])
def test_what_the_registry_refuses_is_not_written(host, closed, check, given):
    with pytest.raises(Unreachable, match="cannot log in"):
        task(host, "pod_login", check, registry=closed, username=given[0], password=given[1])
    assert not pathlib.Path(host.paths.local_config).exists()


@pytest.mark.parametrize("tool", ["podman", "skopeo", "docker"])
def test_the_files_of_other_tools_let_a_host_in(host, closed, tmp_path, tool):
    file = tmp_path / "auth.json"
    if tool == "docker":  # as docker login writes it
        auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        file.write_text(json.dumps({"auths": {closed: {"auth": auth}}}))
        file.chmod(0o600)
    else:
        if not shutil.which(tool):
            pytest.skip(f"needs {tool}")
        words = [tool, "login", f"--authfile={file}", "--tls-verify=false", f"--username={USER}"]
        subprocess.run(
            [*words, "--password-stdin", closed], input=PASSWORD.encode(), check=True, capture_output=True
        )
    directory = pathlib.Path(host.paths.local_config, "auth.d")
    directory.mkdir(parents=True)
    document = {"rktKind": "dockerAuthFiles", "rktVersion": "v1", "files": [str(file)]}
    (directory / "tools.json").write_text(json.dumps(document))
    (directory / "tools.json").chmod(0o600)
    reference = f"docker://{closed}/{tool}/x:1"
    push(host, reference)
    assert task(host, "pod_image", name=reference)["changed"]
    warnings = task(host, "pod_login", registry=closed, state="absent")["warnings"]
    assert warnings == [f"{file} still has credentials for {closed}"]


def test_a_credential_helper_lets_a_host_in(host, closed, tmp_path, monkeypatch):
    """A real program in a directory of its own beside those of the system, as docker's store of passwords is one."""
    helper = tmp_path / "bin/docker-credential-vault"
    helper.parent.mkdir()
    answer = json.dumps({"ServerURL": closed, "Username": USER, "Secret": PASSWORD})
    helper.write_text(f"#!/bin/sh\n[ \"$1 $(cat)\" = 'get {closed}' ] && echo '{answer}'\n")
    helper.chmod(0o755)
    monkeypatch.setattr(programs, "PATH", f"{helper.parent}:{programs.PATH}")
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"auths": {closed: {}}, "credsStore": "vault"}))
    file.chmod(0o600)
    directory = pathlib.Path(host.paths.local_config, "auth.d")
    directory.mkdir(parents=True)
    document = {"rktKind": "dockerAuthFiles", "rktVersion": "v1", "files": [str(file)]}
    (directory / "tools.json").write_text(json.dumps(document))
    (directory / "tools.json").chmod(0o600)
    reference = f"docker://{closed}/helped/x:1"
    push(host, reference)
    result = task(host, "pod_image", name=reference)
    assert result["changed"] and PASSWORD not in json.dumps(result)
    helper.write_text("#!/bin/sh\necho no; exit 1\n")
    with pytest.raises(HostFailure, match=f"docker-credential-vault has no credentials for {closed}"):
        task(host, "pod_image", name=f"docker://{closed}/helped/x:2")
