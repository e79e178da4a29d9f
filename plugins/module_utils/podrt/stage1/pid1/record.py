# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a pod's supervisor, which reads it with marshal from a sealed file of stage1; and the record of an app
that is added later, which comes as a message. Part of the supervisor.
"""

from __future__ import annotations

from .frames import BadFrame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class RestartRecord(TypedDict):
        """The restart policy of an app, see pod.restart, and its waiting process."""

        policy: str
        max_retries: int
        backoff: float
        max_backoff: float
        waiting: int  # the PID of the waiting process
        order: int  # a byte to it orders a start
        counts: int  # the file that records the restarts

    class AppRecord(TypedDict):
        """An app as stage1 hands it over; -1 in place of a descriptor that does not exist."""

        name: str
        pid: int  # 0 for that of an app with a restart policy: its waiting process tells each
        pre_start: bool  # whether it has a pre-start handler
        out: int
        err: int
        # Carries a failure of the start, and is closed by the exec. With a restart policy it stays open: the waiting
        # process says what becomes of each start.
        exec: int
        procs: int  # cgroup.procs of its leaf, readable
        kill: int  # cgroup.kill of its leaf
        oom: int  # an eventfd that counts kills for memory, of cgroup v1
        events: int  # memory.events of its leaf, of cgroup v2
        notify: int  # the socket that NOTIFY_SOCKET names
        journal: int
        stop_signal: int  # the signal that stops its first process; 0 is SIGTERM, to all of them
        post_stop: int  # the socket that its post-stop handler reads, see handler.wire
        logs: list[int]  # its newest log, for appending, and the older ones
        status: int  # an empty file for its exit status
        end: int  # and one for words beside it
        restart: RestartRecord | None
        stdin: int  # keeps the pipe of its input open
        tty: int  # the master of its terminal
        tap_out: int  # where its stdout is repeated for what is attached to it
        tap_err: int
        tap_tty: int  # and what its terminal shows

    class LeaseRecord(TypedDict):
        """A lease of an interface, see leases. times: seconds until it is renewed, rebound and over."""

        name: str
        hears: int
        to_server: int
        to_all: int
        keeps: bytes
        ends: bytes
        times: list[int]

    class SupervisorPlan(TypedDict):
        """The whole plan of the supervisor."""

        apps: list[AppRecord]
        leases: list[LeaseRecord]
        sync: int
        go: int
        console: int
        stop_timeout: int
        handler_timeout: int
        hasty_timeout: int
        extensions: dict[str, str]  # files of the interpreter's, "" for those that are part of it, see load
        mapped: str  # the file that describes its memory, see idle
        start_timeout: int  # after which apps that are not up end the pod; 0 for never
        max_bytes: int
        end_pod: bool  # whether an app that fails ends the pod
        handler: list[str]
        control: int  # the socket that takes orders, see control
        stays: bool  # whether the pod stays without an app


# The descriptors of a record by their names, those that every app has first. A log is named for each of its files.
_NEEDED = ("exec", "status", "end", "log")
_OPTIONAL = (
    *("out", "err", "procs", "kill", "oom", "events", "notify", "journal", "post_stop"),
    *("stdin", "tty", "tap_out", "tap_err", "tap_tty"),
)
# Those of an app with a restart policy.
_OF_RESTARTS = ("order", "counts")
_LONGEST_NAME = 512
_MILLION = 1_000_000
_SIGNALS = 64
# Of a restart policy: the most retries, and two times in microseconds.
_NUMBERS = ("max_retries", "backoff", "max_backoff")


def message_of_record(record: AppRecord) -> tuple[tuple[str | int, ...], list[int]]:
    """The fields of an ADD, and the descriptors that go with it."""
    found = {**record}
    fds = [(name, int(str(found[name]))) for name in (*_NEEDED, *_OPTIONAL) if name != "log"]
    fds += [("log", fd) for fd in record["logs"]]
    restart, text, pid = record["restart"], "", record["pid"]
    if restart:
        fds += [("order", restart["order"]), ("counts", restart["counts"])]
        times = (restart["backoff"], restart["max_backoff"])
        numbers = (restart["max_retries"], *(round(seconds * _MILLION) for seconds in times))
        text, pid = " ".join((restart["policy"], *map(str, numbers))), restart["waiting"]
    sent = [(name, fd) for name, fd in fds if fd >= 0]
    names = " ".join(name for name, _fd in sent)
    return (
        (record["name"], pid, int(record["pre_start"]), record["stop_signal"], names, text),
        [fd for _name, fd in sent],
    )


def app_record(fields: list[str | int], fds: list[int]) -> AppRecord:
    """The record of an ADD. Raises BadFrame. fields, fds: see message_of_record."""
    name, pid, pre_start, stop_signal, names, text = fields
    words = str(names).split()
    if len(words) != len(fds):
        raise BadFrame("it does not name its descriptors")
    if not name or len(str(name)) > _LONGEST_NAME or int(pid) <= 1 or not 0 <= int(stop_signal) <= _SIGNALS:
        raise BadFrame("its name, PID or signal is not valid")
    single = [word for word in words if word != "log"]
    known = {*_NEEDED, *_OPTIONAL, *(_OF_RESTARTS if text else ())}
    if len({*single}) != len(single) or not {*words} <= known or not {*_NEEDED} <= {*words}:
        raise BadFrame("its descriptors are not those of an app")
    given = {**dict.fromkeys(_OPTIONAL, -1), **dict(zip(words, fds))}
    return {
        "name": str(name),
        "pid": 0 if text else int(pid),
        "pre_start": bool(pre_start),
        "out": given["out"],
        "err": given["err"],
        "exec": given["exec"],
        "procs": given["procs"],
        "kill": given["kill"],
        "oom": given["oom"],
        "events": given["events"],
        "notify": given["notify"],
        "journal": given["journal"],
        "stop_signal": int(stop_signal),
        "post_stop": given["post_stop"],
        "logs": [fd for word, fd in zip(words, fds) if word == "log"],
        "status": given["status"],
        "end": given["end"],
        "restart": _restart_record(str(text), int(pid), given) if text else None,
        "stdin": given["stdin"],
        "tty": given["tty"],
        "tap_out": given["tap_out"],
        "tap_err": given["tap_err"],
        "tap_tty": given["tap_tty"],
    }


def _restart_record(text: str, pid: int, given: dict[str, int]) -> RestartRecord:
    policy, *numbers = text.split()
    if len(numbers) != len(_NUMBERS) or not all(number.isdigit() for number in numbers):
        raise BadFrame("its restart policy is not one")
    if not {*_OF_RESTARTS} <= {*given}:
        raise BadFrame("it cannot be started again")
    return {
        "policy": policy,
        "max_retries": int(numbers[0]),
        "backoff": int(numbers[1]) / _MILLION,
        "max_backoff": int(numbers[2]) / _MILLION,
        "waiting": pid,
        "order": given["order"],
        "counts": given["counts"],
    }
