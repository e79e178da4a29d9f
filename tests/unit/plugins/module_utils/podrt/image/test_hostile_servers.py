# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that send too much, too slowly, or something else: each costs little memory and little time."""

from __future__ import annotations

import contextlib
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Unreachable, Untrusted
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.limits import Limits
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import resume, transport
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy

# The time within which each of these servers is given up; it allows for a busy machine.
SOON = 8.0
IMPATIENT = Limits(document_seconds=1, bytes_per_second=1000, rate_seconds=1)
# For servers that never get further: a test need not wait for whole seconds, the unit of the configured limits.
HASTY = Limits(document_seconds=0.2, bytes_per_second=1000, rate_seconds=0.2)
PATIENT = Limits(document_seconds=30)
OK = b"HTTP/1.1 200 OK\r\n"


class Hostile:
    """A server that answers each connection with one function. sent: how many bytes it could send."""

    def __init__(self) -> None:
        self.answer: Callable[[Hostile, socket.socket], None] = lambda *_other: None
        self.sent = 0
        self.ends = threading.Event()
        self._talks: list[tuple[threading.Thread, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/x"
        self._server = threading.Thread(target=self._serve, daemon=True)
        self._server.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                conn, _address = self._listener.accept()
                thread = threading.Thread(target=self._talk, args=(conn,), daemon=True)
                self._talks.append((thread, conn))
                thread.start()

    def _talk(self, conn: socket.socket) -> None:
        with contextlib.suppress(OSError), conn:
            conn.recv(65536)
            self.answer(self, conn)

    def say(self, conn: socket.socket, data: bytes) -> None:
        """Send all of it."""
        conn.sendall(data)
        self.sent += len(data)

    def drip(self, conn: socket.socket, byte: bytes = b"x") -> None:
        """One byte now and then, for ever."""
        while not self.ends.wait(0.05):
            self.say(conn, byte)

    def pour(self, conn: socket.socket, block: bytes, most: int = 1 << 40) -> None:
        """A block again and again."""
        for _count in range(most // len(block)):
            if self.ends.is_set():
                return
            self.say(conn, block)

    def close(self) -> None:
        """Stop listening and talking."""
        self.ends.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._server.join()
        self._listener.close()
        for thread, conn in self._talks:
            with contextlib.suppress(OSError):
                conn.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture(name="hostile")
def _hostile() -> Iterator[Hostile]:
    hostile = Hostile()
    yield hostile
    hostile.close()


def dripping(head: bytes):
    def answer(hostile, conn):
        hostile.say(conn, head)
        hostile.drip(conn)

    return answer


def pouring(head: bytes, block: bytes, most: int = 1 << 40):
    def answer(hostile, conn):
        hostile.say(conn, head)
        hostile.pour(conn, block, most)

    return answer


def document(url, pace=PATIENT):
    return transport.Transport(FetchPolicy(), pace).get(url, {})


def blob(url, pace=PATIENT):
    opened = transport.Transport(FetchPolicy(), pace)
    return sum(map(len, opened.stream(url, dict, lambda _answer: True, by_digest=True)))


@contextlib.contextmanager
def soon_and_small():
    """Check that the body of the context costs little time and little memory."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    yield
    assert time.monotonic() - began < SOON
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes"


LONG = b"Content-Length: 3000000000\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.finding("attack-F5")
@pytest.mark.parametrize("ask", [document, blob])
@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"HTTP/1.1 2",
        OK + b"X-Slow: ",
        OK + LONG,
        OK + CHUNKED,
        OK + CHUNKED + b"5\r\nhello\r\n",
        OK + CHUNKED + b"0\r\n",
        OK + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
    ids=[
        "nothing",
        "status",
        "header",
        "body",
        "size of a chunk",
        "chunk",
        "trailer",
        "until it closes",
        "100",
    ],
)
def test_a_server_that_drips_is_given_up_wherever_it_does(hostile, head, ask):
    hostile.answer = dripping(head)
    with soon_and_small(), pytest.raises(Unreachable, match="the server is too slow") as caught:
        ask(hostile.url, HASTY)
    assert "limits.d" in caught.value.hint


@pytest.mark.finding("attack-F5")
@pytest.mark.parametrize("ask", [document, blob])
def test_a_server_that_is_silent_is_given_up(hostile, ask):
    hostile.answer = lambda hostile, _conn: hostile.ends.wait(30)
    with soon_and_small(), pytest.raises(Unreachable, match="the server is too slow"):
        ask(hostile.url, HASTY)


@pytest.mark.finding("attack-F5")
def test_a_handshake_that_drips_is_given_up(hostile):
    record = b"\x16\x03\x03\x3f\xff\x02\x00\x3f\xfb"  # the beginning of a long message of a server
    hostile.answer = dripping(record)
    with soon_and_small(), pytest.raises(Unreachable, match="the server is too slow"):
        document(hostile.url.replace("http:", "https:"), HASTY)


@pytest.mark.finding("attack-F5")
def test_a_blob_may_take_longer_than_a_document(hostile):
    def answer(hostile, conn):
        hostile.say(conn, OK + b"Content-Length: 8000\r\n\r\n")
        for _part in range(20):
            hostile.say(conn, b"x" * 400)
            time.sleep(0.1)

    hostile.answer = answer
    assert blob(hostile.url, IMPATIENT) == 8000
    with pytest.raises(Unreachable, match="the server is too slow"):
        document(hostile.url, IMPATIENT)


@pytest.mark.finding("attack-F5")
def test_time_that_is_spent_on_this_side_is_not_the_servers(hostile):
    size = 1 << 20
    hostile.answer = pouring(OK + b"Content-Length: %d\r\n\r\n" % size, b"x" * 4096, size)
    found = 0
    for chunk in transport.Transport(FetchPolicy(), IMPATIENT).stream(
        hostile.url, dict, lambda _answer: True
    ):
        found += len(chunk)
        time.sleep(0.6)
    assert found == size


class Stingy:
    """A server that resumes a download at any point, and breaks it after so many bytes."""

    def __init__(self, web, body, part, holds=0.0):
        self.web, self.body, self.part, self.holds = web, body, part, holds
        web.answer = self.answer

    def answer(self, _method, _path, headers):
        time.sleep(self.holds)
        start = int(headers.get("range", "bytes=0-")[len("bytes=") : -1])
        rest = self.body[start:]
        self.web.breaks_after = self.part if len(rest) > self.part else 0
        whole = len(self.body)
        return (
            (206, {"Content-Range": f"bytes {start}-{whole - 1}/{whole}"}, rest) if start else (200, {}, rest)
        )


@pytest.mark.finding("attack-F5")
@pytest.mark.parametrize("part", [1, 5_000])
def test_a_few_bytes_are_no_progress_that_earns_more_tries(web, monkeypatch, part):
    monkeypatch.setattr(resume, "_PAUSES", (0.0,) * 4)
    Stingy(web, bytes(1 << 20), part)
    with pytest.raises(Unreachable):
        blob(web.url, Limits())
    assert len(web.asked) == 5


@pytest.mark.finding("attack-F5")
def test_a_download_may_break_often_as_long_as_there_is_progress(web, monkeypatch):
    monkeypatch.setattr(resume, "_PAUSES", (0.0,) * 4)
    Stingy(web, bytes(1 << 20), 30_000)
    assert blob(web.url, Limits()) == 1 << 20
    assert len(web.asked) == 35


@pytest.mark.finding("attack-F5")
def test_new_connections_do_not_make_a_server_faster(web, monkeypatch):
    """Each of them would be fast enough, and the number of tries is not bounded."""
    monkeypatch.setattr(resume, "_PAUSES", (0.0,) * 1000)
    Stingy(web, bytes(100_000), 1, holds=0.4)
    with soon_and_small(), pytest.raises(Unreachable, match="the server is too slow"):
        blob(web.url, IMPATIENT)
    assert 2 <= len(web.asked) <= 4


@pytest.mark.finding("attack-F4")
@pytest.mark.parametrize("ask", [document, blob])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "head", [LONG, b"Content-Encoding: gzip\r\n" + LONG, CHUNKED], ids=["long", "gzip", "chunked"]
)
def test_the_body_of_a_redirect_is_not_read(hostile, web, status, head, ask):
    web.answer = lambda *_other: (200, {}, b"hello")
    location = b"HTTP/1.1 %d Found\r\nLocation: %s/y\r\n" % (status, web.url.encode())
    hostile.answer = pouring(location + head, b"x" * 65536)
    with soon_and_small():
        found = ask(hostile.url)
    assert found == 5 or found.body == b"hello"
    assert [path for _method, path, _headers in web.asked] == ["/y"]
    assert hostile.sent < 64 << 20, "what fits between two sockets"


@pytest.mark.finding("attack-F4")
def test_a_redirect_whose_body_drips_holds_nobody_up(hostile, web):
    web.answer = lambda *_other: (200, {}, b"hello")
    hostile.answer = dripping(b"HTTP/1.1 302 Found\r\nLocation: %s/y\r\n" % web.url.encode() + LONG)
    with soon_and_small():
        assert document(hostile.url).body == b"hello"


@pytest.mark.finding("attack-F4")
@pytest.mark.parametrize(
    "head", [LONG, CHUNKED + b"ffffffff\r\n", b"\r\n"], ids=["long", "chunked", "endless"]
)
def test_a_document_has_a_largest_size(hostile, head):
    hostile.answer = pouring(OK + head, b"x" * 65536)
    with soon_and_small(), pytest.raises(Unreachable, match="larger than 4194304 bytes"):
        document(hostile.url)


@pytest.mark.finding("attack-F4")
@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
def test_a_document_is_decoded_nowhere(web, encoding):
    web.answer = lambda *_other: (200, {"Content-Encoding": encoding}, b"\x1f\x8b")
    with pytest.raises(Unreachable, match="an encoding that was not asked for"):
        document(web.url)
    assert web.asked[0][2]["accept-encoding"] == "identity"
    assert blob(web.url) == 2, "of a blob the digest decides"


@pytest.mark.finding("attack-F6")
@pytest.mark.parametrize("ask", [document, blob])
@pytest.mark.parametrize(
    ("head", "block"),
    [
        (OK, b"X-Y: " + b"a=," * 20_000 + b"\r\n"),
        (OK, b"Set-Cookie: a=b; expires=" + b"1 " * 20_000 + b"\r\n"),
        (OK + b"X: ", b"x" * 65536),
        (OK, b"a:b\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (OK + CHUNKED + b"0\r\n", b"X: " + b"y" * 1000 + b"\r\n"),
        (OK + CHUNKED, b"1;" + b"x" * 60_000 + b"\r\nx\r\n"),
    ],
    ids=["long", "cookies", "one", "many", "100 Continue", "trailers", "extensions of chunks"],
)
def test_what_stands_around_the_content_is_bounded(hostile, head, block, ask):
    hostile.answer = pouring(head, block)
    with soon_and_small(), pytest.raises(Unreachable):
        ask(hostile.url)


@pytest.mark.finding("attack-F6")
def test_cookies_are_not_kept(web):
    web.answer = lambda *_other: (200, {"Set-Cookie": "a=b"}, b"")
    session = transport.Transport(FetchPolicy(), PATIENT)
    session.get(web.url, {})
    session.get(web.url, {})
    assert [headers.get("cookie") for *_other, headers in web.asked] == [None, None]


@pytest.mark.finding("attack-F12")
def test_what_a_server_on_this_machine_leads_to_is_its_own_affair(hostile, web):
    web.answer = lambda *_other: (200, {}, b"hello")
    local = web.url.replace("127.0.0.1", "localhost")
    hostile.answer = lambda hostile, conn: hostile.say(
        conn, b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %s/y\r\n\r\n" % local.encode()
    )
    assert document(hostile.url).body == b"hello"


@pytest.mark.finding("attack-F12")
@pytest.mark.parametrize(
    "place", ["127.0.0.1", "localhost", "127.1", "2130706433", "0.0.0.0", "[::ffff:127.0.0.1]"]
)
def test_one_elsewhere_leads_to_nothing_on_this_machine(web, place):
    """The gate takes the first host to be elsewhere: other machines are for the integration tests."""
    session = transport.Transport(FetchPolicy(insecure=("http",)), PATIENT)
    session._gate.check("http://registry.example.com/", ["192.0.2.1"])
    with pytest.raises(Untrusted, match="led to this machine"):
        session.get(web.url.replace("127.0.0.1", place), {})
    assert web.asked == []


@pytest.mark.finding("use-N16")
def test_a_server_of_plain_http_is_called_that_and_what_to_write_is_said(web):
    with pytest.raises(transport.WithoutTls, match="does not speak TLS, but perhaps plain http") as caught:
        document(web.url.replace("http:", "https:"))
    assert "insecure_options: http" in caught.value.hint
    assert "SSL" not in caught.value.message


@pytest.mark.finding("attack-F12")
def test_a_proxy_is_asked_for_what_is_elsewhere_alone(web, monkeypatch):
    web.answer = lambda _method, path, _headers: (
        (302, {"Location": f"{web.url}/internal"}, b"") if path.endswith("/astray") else (200, {}, b"hello")
    )
    monkeypatch.setenv("http_proxy", web.url)
    session = transport.Transport(FetchPolicy(insecure=("http",)), PATIENT)
    assert session.get("http://registry.example.com/x", {}).body == b"hello"
    assert [path for _method, path, _headers in web.asked] == ["http://registry.example.com/x"]
    for url in ("http://registry.example.com/astray", "http://169.254.169.254/latest/meta-data"):
        with pytest.raises(Untrusted, match="a host elsewhere led to"):
            session.get(url, {})
    assert [path for _method, path, _headers in web.asked][1:] == ["http://registry.example.com/astray"]


@pytest.mark.finding("attack-F5")
@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_tunnel_of_a_proxy_that_drips_is_given_up(hostile, monkeypatch, head):
    monkeypatch.setenv("https_proxy", hostile.url)
    hostile.answer = dripping(head)
    with soon_and_small(), pytest.raises(Unreachable):
        document("https://registry.example.com/x", HASTY)


@pytest.mark.finding("http-F14")
@pytest.mark.parametrize("ask", [document, blob])
@pytest.mark.parametrize("size", [b"-5", b"-80000000000000000000", b"-1", b"-0x1", b"zz"], ids=repr)
def test_a_chunk_of_less_than_nothing_is_an_error(hostile, ask, size):
    """http-F14: it was reported as a bug of ours."""

    def answer(hostile, conn):
        hostile.say(conn, OK + CHUNKED + size + b"\r\nhello\r\n0\r\n\r\n")

    hostile.answer = answer
    with soon_and_small(), contextlib.suppress(Unreachable):
        ask(hostile.url, IMPATIENT)
        assert size == b"-1", "which is read to the end, within bounds"
