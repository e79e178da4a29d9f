# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Named pods as systemd units, where PID 1 is systemd.

A unit starts its pod through `podctl start NAME`, which makes a new pod from the documents of the last one when that
has ended, so that a reboot brings the pod up again by itself. It calls the runtime that the pod was prepared with, and
is enabled as long as the pod is to run after a boot.
"""

from __future__ import annotations

import os

from ..contexts import suppress
from ..errors import Conflict, Corrupt, HostFailure
from ..host.digests import sha256
from ..host.files import OPEN_DIR, entries, make_dirs, write_atomically, write_new
from ..host.paths import MDS_SERVICE, file_of_runtime, is_unit_name, unit_name
from ..host.reading import kernel_lines, kernel_text_or, read_trusted
from ..pod import documents
from ..pod.runspec import START_SECONDS
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.host import Host
    from ..host.programs import Completed
    from ..pod.documents import Outline
    from ..pod.lifecycle import Pod
    from ..pod.runspec import RunSpec

_MODE = 0o644
_MARGIN = 10
_STOP_LINE = "TimeoutStopSec="
# Seconds for systemd itself beside those of a unit: for a reload of all units on a slow host.
_PATIENCE = 60.0
_HEAD = "# Written by stagecraft.pods for {data}: {digest}\n# Changes are lost when the pod is converged.\n"
_BODY = """\
[Unit]
Description=Pod {name}
After=network-online.target local-fs.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=forking
PIDFile={pid_file}
ExecStart={podctl} start {name}
ExecStopPost={podctl} reap {name}
{restart}KillMode=mixed
Delegate=yes
TimeoutStartSec={start}
TimeoutStopSec={stop}
SyslogIdentifier=pod-{name}

[Install]
WantedBy=multi-user.target
"""

# Apps are started again by the supervisor of their pod, and by systemd only if that was killed.
_RESTART = "Restart=on-abort\nRestartSec=1\n"


class UnitStatus(Value):
    """The state of a unit. text: absent, as described, not loaded, outdated (an older release wrote it) or edited."""

    text: str
    enabled: bool

    def __str__(self) -> str:
        if self.text == "absent":
            return self.text
        enabled = "enabled" if self.enabled else "disabled"
        return enabled if self.text == "as described" else f"{enabled}, {self.text}"


def unit_text(host: Host, runspec: RunSpec | Outline, *, restarts: bool = False) -> str:
    """The text of the unit of a named pod; host: with the runtime that shall start it. Pure.

    restarts: whether an app of the pod has a restart policy.
    """
    body = _BODY.format(
        name=runspec.name,
        pid_file=host.paths.pid_file(runspec.name),
        podctl=" ".join(map(quoted, host.podctl)),
        start=START_SECONDS,
        stop=runspec.stop_timeout + _MARGIN,
        restart=_RESTART if restarts else "",
    )
    return with_head(host, body)


def with_head(host: Host, body: str) -> str:
    """The text of a unit, whose first line says for which data directory it was written, and as what. Pure."""
    return _HEAD.format(data=host.paths.data, digest=_digest(body)) + body


def state_of_text(host: Host, text: str, wanted: str) -> str:
    """What became of a unit: absent, as described, outdated, edited; or foreign, of another data directory."""
    if not text:
        return "absent"
    if not _is_ours(host, text):
        return "foreign"
    return "as described" if text == wanted else _how_changed(text)


def read_unit_status(host: Host, pod: Pod) -> UnitStatus:
    """The state of the unit of a pod. Raises Conflict when it belongs to another pod of that name."""
    outline = documents.read_outline(pod.dir)
    text = _read(host, outline.name)
    if not text:
        return UnitStatus("absent", False)
    _check_owner(host, outline.name, text)
    if text != unit_text(documents.pinned(host, pod), outline, restarts=documents.has_restarts(pod.dir)):
        state = _how_changed(text)
    else:
        state = "not loaded" if _is_unread(host, outline.name) else "as described"
    return UnitStatus(state, _is_enabled(host, outline.name))


def started_runtimes(host: Host) -> set[str]:
    """The directories of the runtimes that units start, whether their pods are there or not. Raises OSError."""
    found: set[str] = set()
    units = entries(host.paths.units)
    for name in (each for each in units if is_unit_name(each) or each == MDS_SERVICE):
        with suppress(FileNotFoundError, Corrupt):
            lines = read_trusted(f"{host.paths.units}/{name}").decode(errors="replace").splitlines()
            found.update(_runtime_of(line) for line in lines if line.startswith("ExecStart="))
    return {f"{host.paths.runtimes}/{name}" for name in found if name}


def _runtime_of(line: str) -> str:
    """The content hash of the runtime that a line calls, "" when it calls none."""
    directory, called, _rest = line.partition(file_of_runtime("", "launch.py"))
    return os.path.basename(directory) if called else ""


def is_installed(host: Host, name: str) -> bool:
    """Whether a pod of this name and of this data directory has a unit."""
    text = _read(host, name)
    return bool(text) and _is_ours(host, text)


def install(host: Host, pod: Pod, *, boot: bool | None) -> None:
    """Write and load the unit of a pod, unless it is as described already.

    boot: whether it starts the pod after a boot; None leaves that as it is. Raises Conflict, HostFailure.
    """
    runspec = documents.read_runspec(pod.dir)
    old = _read(host, runspec.name)
    _check_owner(host, runspec.name, old)
    text = unit_text(documents.pinned(host, pod), runspec, restarts=documents.has_restarts(pod.dir))
    if old != text or _is_unread(host, runspec.name):
        _mark_unread(host, runspec.name)
        write_atomically(host.paths.unit(runspec.name), text.encode(), _MODE)
        _reload(host, runspec.name)
    if boot is not None and boot != _is_enabled(host, runspec.name):
        systemctl(host, "--quiet", "enable" if boot else "disable", unit_name(runspec.name))


def has_socket(host: Host, name: str) -> bool:
    """Whether a connection is to start the pod of this name: then its unit has to be there before it is started."""
    return os.path.exists(host.paths.socket_unit(name))


def stay_stopped(host: Host, name: str) -> None:
    """Have no boot start the pod of this name any more."""
    if _is_enabled(host, name):
        systemctl(host, "--quiet", "disable", unit_name(name))


def start(host: Host, name: str) -> None:
    """Start the pod through its unit. Raises HostFailure; the error of the pod is in its directory, see pod.failure."""
    systemctl(host, "reset-failed", unit_name(name), check=False)
    done = _systemctl(host, "start", unit_name(name), seconds=START_SECONDS + _PATIENCE)
    if done.status != 0:
        raise HostFailure(
            f'cannot start pod "{name}": {done.complaints}',
            f"see journalctl -u {unit_name(name)}",
        )


def stop(host: Host, name: str, *, wait: bool = True) -> None:
    """Stop the pod through its unit."""
    how = () if wait else ("--no-block",)
    systemctl(host, "stop", *how, unit_name(name), seconds=_stop_seconds(host, name))


def is_own_process(name: str) -> bool:
    """Whether this process belongs to the unit of a named pod, which runs it to start the pod or to clean up.

    The control group decides, not the environment, which all children of a service inherit. Source: systemd.service(5).
    """
    groups = kernel_lines(kernel_text_or("/proc/self/cgroup", ""))
    return any(unit_name(name) in group.split("/") for group in groups)


def remove(host: Host, name: str) -> None:
    """Stop, disable and remove the unit of a pod of this data directory; a missing one is not an error."""
    if is_installed(host, name):
        seconds = _stop_seconds(host, name)
        systemctl(host, "--quiet", "disable", "--now", unit_name(name), check=False, seconds=seconds)
        _mark_unread(host, name)
        os.unlink(host.paths.unit(name))
    elif not _is_unread(host, name):
        return
    _reload(host, name)
    systemctl(host, "reset-failed", unit_name(name), check=False)


def systemctl(host: Host, *words: str, check: bool = True, seconds: float = _PATIENCE) -> None:
    """Run systemctl. Raises HostFailure with its complaints, or when it takes longer than these seconds."""
    done = _systemctl(host, *words, seconds=seconds)
    if check and done.status != 0:
        raise HostFailure(f"systemctl {' '.join(words)} failed: {done.complaints}", "see systemctl status")


def systemctl_status(host: Host, *words: str) -> int:
    """Run systemctl to ask it for something. Returns its exit status."""
    return _systemctl(host, *words, seconds=_PATIENCE).status


def _systemctl(host: Host, *words: str, seconds: float) -> Completed:
    return host.programs(("systemctl", *words), seconds=seconds, called=f"systemctl {' '.join(words)}")


def _mark_unread(host: Host, name: str) -> None:
    """Record that systemd must reload a unit, in case this process is killed before it asks for that."""
    make_dirs(host.paths.pid_files, OPEN_DIR)
    write_new(host.paths.unread_unit(name), b"")


def _is_unread(host: Host, name: str) -> bool:
    return os.path.exists(host.paths.unread_unit(name))


def _reload(host: Host, name: str) -> None:
    """Have systemd read all units."""
    systemctl(host, "daemon-reload")
    with suppress(FileNotFoundError):
        os.unlink(host.paths.unread_unit(name))


def _stop_seconds(host: Host, name: str) -> float:
    """The longest time of the stop of a unit: its stop timeout, the same after the kill, and both again for reap."""
    lines = [line for line in _read(host, name).splitlines() if line.startswith(_STOP_LINE)]
    digits = lines[0][len(_STOP_LINE) :] if lines else ""
    return 4 * int(digits) + _PATIENCE if digits.isdigit() else START_SECONDS


def _read(host: Host, name: str) -> str:
    """The text of a unit, "" if it does not exist."""
    try:
        text = read_trusted(host.paths.unit(name)).decode(errors="replace").strip()
    except FileNotFoundError:
        return ""
    return f"{text}\n" if text else ""


def _owner(text: str) -> str:
    """The data directory of the pod that a unit was written for."""
    head, _separator, _digest_text = text.split("\n", 1)[0].rpartition(": ")
    return head.partition(" for ")[2]


def _is_ours(host: Host, text: str) -> bool:
    """Whether a unit was written for this data directory, perhaps under another path to it."""
    owner = _owner(text)
    return owner == host.paths.data or os.path.realpath(owner) == host.paths.data


def _check_owner(host: Host, name: str, text: str) -> None:
    if text and not _is_ours(host, text):
        raise Conflict(
            f"{host.paths.unit(name)} does not belong to a pod in {host.paths.data}",
            "give the pod another name, or remove the unit",
            where="name",
        )


def _how_changed(text: str) -> str:
    """Whether a unit that differs from the current text is outdated or edited. Pure."""
    lines = text.split("\n", 2)
    return "outdated" if len(lines) == 3 and lines[0].endswith(": " + _digest(lines[2])) else "edited"


def _digest(body: str) -> str:
    return sha256(body.encode()).hexdigest()[:16]


def _is_enabled(host: Host, name: str) -> bool:
    return os.path.islink(host.paths.enabled_unit(name))


def quoted(word: str) -> str:
    """A word of ExecStart=. Source: systemd.service(5) "Command lines", systemd.unit(5) "Specifiers"."""
    plain = word.replace("%", "%%").replace("$", "$$")
    if plain.isascii() and all(character.isalnum() or character in "/-_=.:,+@%$" for character in plain):
        return plain
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
