# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host whose images discovery finds."""

from __future__ import annotations

import pathlib
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.machine import architecture

if TYPE_CHECKING:
    from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import (
        Reply,
        Web,
    )
    from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.gpglab import Gpg

OS_ARCH = {"os": "linux", "arch": architecture().name}


def make_authority(folder: pathlib.Path, address: str) -> tuple[str, str, str]:
    """A certificate authority, and a server's certificate of it and key."""
    ca, ca_key = f"{folder}/ca.pem", f"{folder}/ca.key"
    key, request, certificate = f"{folder}/key.pem", f"{folder}/request", f"{folder}/certificate.pem"
    # All of what Python 3.13 insists on.
    (folder / "extensions").write_text(
        f"subjectAltName=IP:{address}\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
    )
    new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=test"
    for words in (
        f"req -x509 {new} -days 2 -keyout {ca_key} -out {ca} -addext keyUsage=critical,keyCertSign",
        f"req {new} -keyout {key} -out {request}",
        f"x509 -req -in {request} -CA {ca} -CAkey {ca_key} -CAcreateserial -days 2 -out {certificate} "
        f"-extfile {folder}/extensions",
    ):
        subprocess.run(["openssl", *words.split()], check=True, capture_output=True)
    return ca, certificate, key


class Site:
    """A host with servers at the ports of http and https. pages: by path, what is answered there."""

    def __init__(self, address: str, plain: Web, secure: Web, gpg: Gpg, good: str) -> None:
        self.address = address
        self.name = f"{address}/team/app"
        self.plain = plain
        self.secure = secure
        self.pages: dict[str, Reply] = {}
        self._gpg = gpg
        self._good = good
        secure.answer = self._answer
        self.template(f"https://{address}/{{name}}-{{version}}.{{ext}}")

    def template(self, *templates: str) -> None:
        """Have the page of the host name these templates."""
        tags = "".join(f'<meta name="ac-discovery" content="{self.address} {text}">' for text in templates)
        tags += f'<meta name="ac-discovery-pubkeys" content="{self.address} https://{self.address}/team.gpg">'
        self.pages["/?ac-discovery=1"] = (200, {}, tags.encode())

    def put(self, image: bytes, path: str = "", signed: bool = True) -> None:
        """Offer an image, and its signature."""
        place = path or f"/{self.name}-1.0"
        self.pages[f"{place}.aci"] = (200, {"ETag": f'"{hash(image)}"'}, image)
        if signed:
            self.pages[f"{place}.aci.asc"] = (200, {}, self._gpg.sign(self._good, image))

    def image(self, aci: Callable[..., bytes], content: bytes = b"x", **labels: str) -> bytes:
        """An image of the name that is asked for."""
        said = {**OS_ARCH, "version": "1.0", **labels}
        return aci(
            self.name,
            content,
            labels=[{"name": name, "value": value} for name, value in said.items() if value],
        )

    @property
    def asked(self) -> list[str]:
        """The paths of the requests over https, without those of pages."""
        return [path for _method, path, _headers in self.secure.asked if "ac-discovery" not in path]

    def _answer(self, _method: str, path: str, headers: dict[str, str]) -> Reply:
        status, given, body = self.pages.get(path.replace("//", "/"), (404, {}, b""))
        if given.get("ETag") and headers.get("if-none-match") == given["ETag"]:
            return 304, {}, b""
        return status, given, body
