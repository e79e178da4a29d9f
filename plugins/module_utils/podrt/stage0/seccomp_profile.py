# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A profile of system calls from a file of the host, in docker's JSON."""

from __future__ import annotations

import os

from ..appc.capabilities import NAMES
from ..appc.confinement import SeccompProfile, canonical
from ..errors import Corrupt, HostFailure, InvalidSpec
from ..fields import parse_json
from ..host.machine import architecture
from ..host.reading import read_given
from ..seccomp.profiles import Circumstances, rules_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.isolators import Isolator

_NEWEST = (1 << 16, 0)


def read_profile(isolator: Isolator, where: str) -> Isolator:
    """An isolator that names a file, with its content; any other as it is. Raises InvalidSpec, HostFailure."""
    if not isinstance(isolator, SeccompProfile) or isolator.text:
        return isolator
    if not os.path.isabs(isolator.file):
        raise InvalidSpec(f'"{isolator.file}" is not an absolute path', "begin it with /", where=where)
    try:
        profile = parse_json(read_given(isolator.file), isolator.file)
        # Every rule, also those for other apps and kernels.
        for held in (frozenset(NAMES), frozenset[str]()):
            rules_of(profile, Circumstances(held, architecture().name, _NEWEST), isolator.file)
    except OSError as err:
        raise HostFailure.of(
            f"cannot read the profile {isolator.file}", err, "it is a file of the host"
        ) from err
    except (Corrupt, InvalidSpec) as err:
        raise InvalidSpec(
            f"cannot use the profile {isolator.file}: {err.message}", err.hint, where=where
        ) from err
    return isolator.replace(text=canonical(profile))
