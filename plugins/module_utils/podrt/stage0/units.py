# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Named pods as systemd units, where PID 1 is systemd.

A unit starts its pod through `podctl start NAME`, which makes a new pod from the documents of the last one when that
has ended, so that a reboot brings the pod up again without asking anybody.
"""

from __future__ import annotations

import os

from ..errors import HostFailure
from ..host.files import read_text_or, write_atomically
from ..host.programs import find, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.host import Host
    from ..pod.runspec import RunSpec

UNIT_DIR = "/etc/systemd/system"
_MODE = 0o644
_MARGIN = 10

_TEMPLATE = """\
# Written by stagecraft.pods. Changes are lost when the pod is converged.
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
KillMode=mixed
Delegate=yes
TimeoutStartSec=300
TimeoutStopSec={stop}
SyslogIdentifier=pod-{name}

[Install]
WantedBy=multi-user.target
"""


def unit_name(name: str) -> str:
    """The unit of a named pod."""
    return f"pod-{name}.service"


def unit_path(name: str) -> str:
    """The file of the unit of a named pod."""
    return f"{UNIT_DIR}/{unit_name(name)}"


def unit_text(host: Host, runspec: RunSpec) -> str:
    """The unit of a named pod. Pure."""
    return _TEMPLATE.format(
        name=runspec.name,
        pid_file=f"{host.paths.pid_files}/{runspec.name}.pid",
        podctl=" ".join(host.podctl),
        stop=runspec.stop_timeout + _MARGIN,
    )


def is_installed(name: str) -> bool:
    """Whether the named pod has a unit."""
    return os.path.exists(unit_path(name))


def install(host: Host, runspec: RunSpec) -> None:
    """Write, load and enable the unit of a pod; nothing is done where it is there already."""
    text = unit_text(host, runspec)
    if read_text_or(unit_path(runspec.name), "") + "\n" != text:
        write_atomically(unit_path(runspec.name), text.encode(), _MODE)
        systemctl("daemon-reload")
    if not os.path.islink(f"{UNIT_DIR}/multi-user.target.wants/{unit_name(runspec.name)}"):
        systemctl("--quiet", "enable", unit_name(runspec.name))


def start(name: str) -> None:
    """Start the pod through its unit. Raises HostFailure with what the pod said."""
    systemctl("reset-failed", unit_name(name), check=False)
    done = run((find("systemctl"), "start", unit_name(name)))
    if done.status != 0:
        raise HostFailure(
            f'cannot start pod "{name}": {_last_words(name)}',
            f"journalctl -u {unit_name(name)} has the whole story",
        )


def stop(name: str) -> None:
    """Stop the pod through its unit, and wait for it."""
    systemctl("stop", unit_name(name))


def remove(name: str) -> None:
    """Stop and disable the pod's unit and remove its file; what is missing is fine."""
    if not is_installed(name):
        return
    systemctl("--quiet", "disable", "--now", unit_name(name), check=False)
    os.unlink(unit_path(name))
    systemctl("daemon-reload")
    systemctl("reset-failed", unit_name(name), check=False)


def systemctl(*words: str, check: bool = True) -> None:
    """Run systemctl. Raises HostFailure with its complaint."""
    done = run((find("systemctl"), *words))
    if check and done.status != 0:
        raise HostFailure(
            f"systemctl {' '.join(words)} failed: {done.complaint}", "systemctl status tells more"
        )


def _last_words(name: str) -> str:
    done = run(
        (
            find("journalctl"),
            "--quiet",
            "--no-pager",
            "-o",
            "cat",
            "-n",
            "5",
            f"_SYSTEMD_UNIT={unit_name(name)}",
        )
    )
    lines = [line for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
    return "; ".join(lines[-2:]) or "its unit failed"
