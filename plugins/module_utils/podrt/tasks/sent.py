# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""pod_image with src: the image of a file of the controller, which sends what the host asks for.

The task runs as often as it takes: as long as content is missing its result says so and changes nothing, and the action
plugin sends pieces and runs it again.
"""

from __future__ import annotations

import os

from ..errors import InvalidSpec
from ..image import find
from ..image.sent import needed, read_sent
from ..stage0 import images
from ..stage0.change import converge, naming_changes
from ..stage0.options import reading
from ..store import staging
from .results import fetch_result, image_result, outcome_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..fields import Fields
    from ..host.host import Host
    from ..image.policy import FetchPolicy
    from ..image.reference import SentFile
    from ..stage0.change import Plan
    from ..store.index import StoredImage

# The member of a result that has the numbers of the pieces to be sent; also in plugin_utils/sending.py.
MISSING = "src_missing"


def pod_image_sent(host: Host, options: Fields, *, check: bool) -> dict[str, object]:
    """The result of pod_image with src."""
    if options.text("state", "present") == "absent":
        raise InvalidSpec(
            "an image is removed by what it is called", "leave src out, and give its name or ID", where="src"
        )
    if options.boolean("force", False):
        raise InvalidSpec(
            "a file of the controller is sent when the store lacks its image",
            "remove the image first, or leave force out",
            where="force",
        )
    if not options.has("src_file"):
        raise InvalidSpec(
            "the action plugin of the collection sends the file, and has not been run",
            "call the module by its full name through ansible or ansible-playbook",
            where="src",
        )
    told = options.within("src_file")
    reference = read_sent(options.text("src"), options.optional_text("name"), told)
    # The store or the file: what pull says is of the network.
    policy = reading.fetch_policy(options).replace(pull="new")
    wanted = _wanted(host, reference, policy, options)
    missing = () if find.lookup(host, reference) else _taken(host, reference, policy, told, check=check)
    if missing and not check:
        return {"changed": False, "changes": [], MISSING: list(missing)}
    outcome, _left = converge(host, wanted, apply=not check)
    with naming_changes(outcome.to_json(), f'cannot look at image "{reference}"'):
        stored = find.lookup(host, reference)
    return {
        **outcome_result(outcome),
        **fetch_result(outcome, reference),
        "warnings": [*outcome.notes, *outcome.foreseen],
        "image": image_result(stored) if stored else None,
    }


def _taken(
    host: Host, reference: SentFile, policy: FetchPolicy, told: Fields, *, check: bool
) -> tuple[int, ...]:
    """Take over the pieces that have come; the numbers of those that the host still needs.

    Raises what a fetch would before anything is sent, in check mode as well: no other task of the host can change it.
    """
    from ..image.fetch import check_may_fetch

    check_may_fetch(host, reference, policy)
    directory = told.text("directory", "")
    for piece in told.each("pieces") if directory and not check else ():
        number = piece.integer("number")
        if not 0 <= number < len(reference.cuts) - 1:
            raise InvalidSpec("the file has no such piece", where=piece.where_of("number"))
        path = os.path.join(directory, piece.text("name"))
        staging.take(host.paths, reference.digest, number, reference.cuts[number], piece.text("digest"), path)
    return () if check else needed(host, reference)


def _wanted(
    host: Host, reference: SentFile, policy: FetchPolicy, options: Fields
) -> Plan[StoredImage | None]:
    wanted = _ensure(host, reference, policy, options.optional_boolean("pinned"))
    if not options.has("dest"):
        return wanted
    from ..stage0.image_export import exporting

    return exporting(host, reference.wanted or reference, options.text("dest"), wanted)


def _ensure(
    host: Host, reference: SentFile, policy: FetchPolicy, pinned: bool | None
) -> Plan[StoredImage | None]:
    image = yield from images.ensure_sent(host, reference, policy)
    if pinned is not None:
        # By what it is called later, without the file.
        yield from images.ensure_pin(host, reference.wanted or reference, image, wanted=pinned)
    return image
