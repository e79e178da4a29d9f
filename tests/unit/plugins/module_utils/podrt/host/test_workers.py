# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Forked workers: what they tell, how they fail, and that none outlives its parent."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt import errors
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.workers import Workers, WorkQueue
from ansible_collections.stagecraft.pods.tests.unit.test_layout import RUNTIME

SOON = 30.0


def told(work, count=1):
    """What workers tell, in the order of its arrival."""
    with Workers("the test", work) as workers:
        for _number in range(count):
            workers.start()
        return [message.document for batch in workers.messages() for message in batch]


def failure_of(err):
    def work(_tell):
        raise err

    with pytest.raises(Exception) as caught:
        told(work)
    return caught.value


def is_gone(pid):
    end = time.monotonic() + SOON
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def test_each_tells_what_it_has_done():
    def work(tell):
        tell({"pid": os.getpid()}, ())

    pids = [document["pid"] for document in told(work, 3)]
    assert len(set(pids)) == 3
    assert os.getpid() not in pids


def test_a_lock_is_handed_over_with_its_descriptor(tmp_path):
    path = str(tmp_path / "lock")

    def work(tell):
        fd = os.open(path, os.O_CREAT | os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX)
        tell({}, (fd,))

    with Workers("the test", work) as workers:
        workers.start()
        ((message,),) = workers.messages()
    (held,) = message.fds
    assert not os.get_inheritable(held)
    other = os.open(path, os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(held)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)


@pytest.mark.parametrize("family", sorted(errors.FAMILIES.values(), key=lambda each: each.kind))
def test_an_error_comes_back_as_it_was(family):
    err = family("what, where: why", "a hint", path="/a", number=7)
    err.__cause__ = ValueError("the reason \udcff")
    err.__cause__.__cause__ = OSError(28, "its reason")
    got = failure_of(err)
    assert (type(got), got.message, got.hint) == (type(err), err.message, err.hint)
    assert got.facts == err.facts
    assert str(got.__cause__) == "the reason \udcff"
    assert str(got.__cause__.__cause__) == "[Errno 28] its reason"


def test_an_error_of_the_kernel_comes_back_with_its_path():
    got = failure_of(PermissionError(13, "Permission denied", "/a/b"))
    assert got.__class__ is PermissionError
    assert (got.errno, got.strerror, got.filename) == (13, "Permission denied", "/a/b")


def test_a_bug_comes_back_with_its_traceback():
    got = failure_of(ZeroDivisionError("oops"))
    assert got.__class__ is errors.Bug
    assert "ZeroDivisionError" in got.message
    assert "in failure_of" not in str(got.__cause__)
    assert "raise err" in str(got.__cause__)


def test_what_came_before_an_error_is_told_first():
    def work(tell):
        tell({"done": 1}, ())
        raise errors.Corrupt("broken")

    seen = []
    with Workers("the test", work) as workers, pytest.raises(errors.Corrupt, match="broken"):
        workers.start()
        seen += [message.document for batch in workers.messages() for message in batch]
        seen.append("not reached")
    assert seen in ([], [{"done": 1}])  # that of the same moment is the caller's to take


def test_one_that_is_killed_is_an_error():
    def work(_tell):
        os.kill(os.getpid(), signal.SIGKILL)

    failed = "a process for the test has failed: it was killed by signal 9"
    with pytest.raises(errors.HostFailure, match=failed) as caught:
        told(work)
    assert "out of memory" in caught.value.hint


def test_the_others_end_with_the_first_that_fails(tmp_path):
    taken = os.open(tmp_path, os.O_RDONLY)
    first = [True]

    def work(tell):
        if first[0]:
            raise errors.Corrupt("broken")
        time.sleep(SOON)

    with pytest.raises(errors.Corrupt), Workers("the test", work) as workers:
        workers.start()
        first[0] = False
        workers.start()
        pids = tuple(workers.pids)
        for _batch in workers.messages():
            pass
    assert all(map(is_gone, pids))
    os.close(taken)


def test_no_descriptor_is_left():
    def open_ones():
        return set(os.listdir("/proc/self/fd"))

    before = open_ones()
    told(lambda tell: tell({}, ()), 3)
    failure_of(errors.Corrupt("broken"))
    assert open_ones() <= before  # another test's server may close its own meanwhile


PARENT = textwrap.dedent(
    """
    import os, signal, sys, time
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    sys.path.insert(0, sys.argv[1])
    from podrt.host.workers import Workers, WorkQueue

    def work(tell):
        tell({"pid": os.getpid()}, ())
        time.sleep(60)

    with Workers("the test", work) as workers:
        workers.start()
        workers.start()
        for batch in workers.messages():
            for message in batch:
                print(message.document["pid"], flush=True)
    """
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("whole", [False, True], ids=["the parent", "the group"])
def test_no_worker_outlives_its_parent(number, whole):
    argv = [sys.executable, "-c", PARENT, str(RUNTIME.parent)]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as parent:
        pids = [int(parent.stdout.readline()) for _worker in range(2)]
        (os.killpg if whole else os.kill)(parent.pid, number)
        complaint = parent.communicate(timeout=SOON)[1]
    assert parent.returncode in (-number, 1), complaint
    assert complaint.count("Traceback") == (number == signal.SIGINT), "of the parent alone"
    assert all(map(is_gone, pids))


def test_one_whose_parent_has_died_before_it_began_ends():
    """As a parent of its own sees it: the worker is adopted by another process."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            workers = Workers("the test", lambda _tell: os.write(writing, b"x"))
            real, os.getpid = os.getpid, lambda: -1
            workers.start()
            os.getpid = real
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading, "rb") as pipe:
        assert pipe.read() == b""


def test_numbers_of_a_queue_are_each_for_one_reader():
    with WorkQueue(range(5)) as queue:
        assert [number for pair in zip(queue, queue) for number in pair] == [0, 1, 2, 3]
        assert list(queue) == []
