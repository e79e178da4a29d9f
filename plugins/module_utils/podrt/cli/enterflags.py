# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flags of enter, as data. Source: behaviours A45, A46."""

from __future__ import annotations

from . import values
from .flags import Flag

ENTER = (
    Flag("app", "APP", "the app to enter"),
    Flag("user", "USER", "run as this user: a name, a number, or the owner of a path; root if none is given"),
    Flag("group", "GROUP", "run as this group; with --user the app's own if none is given"),
    Flag("supplementary-gids", "GID,...", "further groups, by number", parse=values.parse_gids),
    Flag("workdir", "PATH", "the directory to start in; / if none is given", parse=values.parse_working_dir),
    Flag("env", "KEY=VALUE", "a variable of the command", parse=values.parse_variable),
    Flag(
        "privileged",
        "",
        "run with all capabilities of the caller and without a filter, as rkt did: whatever the image has put in place "
        "of the command is then root on this host",
        bare="true",
    ),
)
