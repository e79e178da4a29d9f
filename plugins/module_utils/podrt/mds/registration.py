# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registration of a pod with the metadata service, as both sides and the pod's directory know it.

The file mds-registered of a pod has it, so that a service that is started again finds it. Source: behaviours F2, F5,
D6, where the file is empty.
"""

from __future__ import annotations

import os

from ..appc.alphabet import HEX, is_made_of
from ..appc.ports import check_address
from ..contexts import suppress
from ..errors import Corrupt, InvalidSpec, PodError
from ..fields import Fields, canonical_json, parse_json
from ..host.files import path_beneath, write_new
from ..host.reading import DOCUMENT, read_bytes
from ..pod import holders
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..host.dirs import PodDir
    from ..host.paths import Paths
    from ..pod.lifecycle import Pod

# The port for queries, unless the service has another one.
PORT = 18112
# The variable by which apps find the service. Source: behaviours C8.
VARIABLE = "AC_METADATA_URL"
# The address of the service for pods with the network of the host.
LOOPBACK = "127.0.0.1"
_FORMAT = 1
_ONLY_ROOT = 0o600
_DIGITS, _BYTES = 32, 16


class ServiceFacts(Value):
    """What a service says of itself, to root of the host. port: of queries. runtime: the directory of its code."""

    pid: int
    port: int
    runtime: str = ""

    def to_json(self) -> dict[str, object]:
        """The answer; rkt's service says nothing."""
        return {"pid": self.pid, "port": self.port, "runtime": self.runtime}

    @classmethod
    def from_json(cls, value: object) -> ServiceFacts:
        """Read the answer. Raises InvalidSpec."""
        fields = Fields(value, "the answer of the metadata service")
        return cls(fields.integer("pid", 0), fields.integer("port", PORT), fields.text("runtime", ""))


class Registration(Value):
    """The registration of one pod. url: for its apps. addresses: the only ones that its requests come from."""

    token: str
    url: str
    addresses: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise InvalidSpec unless the token and the addresses are valid."""
        if not is_token(self.token):
            raise InvalidSpec("it is not a token", "a token has 32 hex digits", where="token")
        for index, address in enumerate(self.addresses):
            check_address(address, f"addresses[{index}]", "not an address")

    def to_json(self) -> dict[str, object]:
        """The document in a pod's directory."""
        return {
            "format": _FORMAT,
            "token": self.token,
            "url": self.url,
            "addresses": list(self.addresses),
        }

    @classmethod
    def from_json(cls, value: object, where: str = "mds-registered") -> Registration:
        """Read that document. Raises InvalidSpec with the place, never with the token."""
        fields = Fields(value, where)
        fields.check_format(_FORMAT)
        return cls(fields.text("token"), fields.text("url"), fields.strings("addresses"))


def new_token() -> str:
    """A token of 128 random bits."""
    return os.urandom(_BYTES).hex()


def is_token(text: str) -> bool:
    """Whether a text has the form of a token."""
    return len(text) == _DIGITS and is_made_of(text, HEX)


def public_url(address: str, port: int, token: str) -> str:
    """The URL that the apps of a pod are given."""
    shown = f"[{address}]" if ":" in address else address
    return f"http://{shown}:{port}/{token}"


def record(pod: PodDir, registration: Registration) -> None:
    """Write the registration of a pod, for root alone. Raises OSError."""
    with path_beneath(pod.mds_registered, pod.path) as path:
        write_new(path, canonical_json(registration.to_json()), _ONLY_ROOT)


def recorded(pod: PodDir) -> Registration | None:
    """The registration of a pod, None if it has none. Raises Corrupt, OSError."""
    try:
        data = read_bytes(pod.mds_registered, DOCUMENT, beneath=pod.path)
    except FileNotFoundError:
        return None
    try:
        return Registration.from_json(parse_json(data, pod.mds_registered))
    except InvalidSpec as err:
        raise Corrupt(f"cannot read {pod.mds_registered}: {err.message}", path=pod.mds_registered) from err


def forget(pod: PodDir) -> None:
    """Remove the record of a pod that is not registered any more. Raises OSError."""
    with suppress(FileNotFoundError), path_beneath(pod.mds_registered, pod.path) as path:
        os.unlink(path)


def running(paths: Paths) -> Iterator[tuple[Pod, Registration]]:
    """Every running pod of the host that is registered, closed when the next is requested.

    Of other data directories, those that have joined networks. What cannot be read is left out.
    """
    for pod in holders.running(paths):
        with suppress(OSError, PodError):
            found = recorded(pod.dir)
            if found:
                yield pod, found
