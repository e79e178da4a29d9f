# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""pod_image with a list of names: each is a task of its own, and those that have work do it side by side.

Each works in a process, so that a fetch locks, forks and unpacks as if another task had it: a layer that several images
share is downloaded once. One that fails stops no other.
"""

from __future__ import annotations

from ..errors import InvalidSpec, PodError, few, known, shortened
from ..image.reference import parse_reference, shown
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from ..fields import Fields
    from ..host.workers import Tell, WorkQueue
    from ..image.reference import ImageReference

    Result = dict[str, Any]

# Each has workers of its own for layers. More would share the same network and disk.
_AT_ONCE = 4
_MOST = 1000
# A message of a worker has 128 KB.
_MOST_WARNINGS = 8
_ALONE = ("src", "signature", "dest")
# What the entry of one name has of its result.
_OF_ONE = ("bytes", "seconds", "msg", "error", "hint")


class OneImage(Value):
    """What is to be done for one name. run: does it; its result, that of a failure too.

    has_work: whether that may take long.
    """

    run: Callable[[], Result]
    has_work: bool = False


def pod_images(options: Fields, begin: Callable[[Fields], OneImage]) -> Result:
    """The result of pod_image with a list of names. begin: finds out what is to be done for one of them."""
    given = _distinct(options)
    each = [begin(options.replaced(name=name)) for name in given]
    busy = [number for number, one in enumerate(each) if one.has_work]
    results = _side_by_side(each, busy) if len(busy) > 1 else {}
    for number, one in enumerate(each):
        if number not in results:
            results[number] = one.run()
    return _merged({name: results[number] for number, name in enumerate(given)})


def _distinct(options: Fields) -> list[str]:
    """The names, those that mean the same once. Raises InvalidSpec."""
    found: dict[ImageReference, str] = {}
    names = list(options.items("name"))
    for option in _ALONE:
        if options.has(option):
            raise InvalidSpec(
                "it is of one image, and name is a list", "write name as a string", where=option
            )
    if len(names) > _MOST:
        raise InvalidSpec(f"more than {_MOST} images", "use several tasks", where="name")
    for name, where in names:
        if not isinstance(name, str):
            raise InvalidSpec("expected a string", "name an image", where=where)
        found.setdefault(parse_reference(name, where, relative=False), name)
    return list(found.values())


def _side_by_side(each: Sequence[OneImage], busy: Sequence[int]) -> dict[int, Result]:
    """The results of some names, by number; of all of them, whatever happens to a process."""
    from ..host.workers import Workers, WorkQueue, at_once  # only work needs it

    results: dict[int, Result] = {}
    lost: Exception | None = None
    with WorkQueue(busy) as queue, Workers("an image", lambda tell: _work(each, queue, tell)) as workers:
        for _worker in range(min(_AT_ONCE, at_once(len(busy)))):
            workers.start()
        while workers.pids:
            try:
                for batch in workers.messages():
                    results.update(_told(message.document) for message in batch)
            except (PodError, OSError) as err:
                lost = lost or err  # of one process; the others go on
    for number in busy:
        if number not in results:
            results[number] = _without_result(lost)
    return results


def _work(each: Sequence[OneImage], queue: WorkQueue, tell: Tell) -> None:
    """In a worker: take names until all are taken."""
    for number in queue:
        tell({"number": number, "result": _bounded(each[number].run())}, ())


def _bounded(result: Result) -> Result:
    """A result that fits into a message."""
    warnings = [shortened(str(warning)) for warning in result.get("warnings", ())]
    return {**result, "warnings": few(warnings, _MOST_WARNINGS)}


def _told(document: Result) -> tuple[int, Result]:
    return document["number"], document["result"]


def _without_result(lost: Exception | None) -> Result:
    """The result of a name whose process has ended without one."""
    err = known("a process for an image has failed", lost or OSError("it has ended without a result"))
    return {"failed": True, "msg": str(err), "error": err.kind, "hint": err.hint, "changes": []}


def _merged(results: Mapping[str, Result]) -> Result:
    """One result of those of all names."""
    changes = [change for result in results.values() for change in result["changes"]]
    diffs = [result["diff"] for result in results.values() if "diff" in result]
    warnings = [warning for result in results.values() for warning in result.get("warnings", ())]
    return {
        "changed": bool(changes),
        "changes": changes,
        "diff": {side: "".join(diff[side] for diff in diffs) for side in ("before", "after")},
        "warnings": list(dict.fromkeys(warnings)),
        "images": [_entry(name, result) for name, result in results.items()],
        **_failed(results),
    }


def _entry(name: str, result: Result) -> Result:
    """What the result of a list says of one name."""
    return {
        "reference": _shown(name),
        "changed": bool(result["changes"]),
        "failed": bool(result.get("failed")),
        "image": result.get("image"),
        **{member: result[member] for member in _OF_ONE if member in result},
    }


def _failed(results: Mapping[str, Result]) -> Result:
    """The members of a failure, if one has failed; those of the first, and the message of all."""
    failed = {name: result for name, result in results.items() if result.get("failed")}
    if not failed:
        return {}
    first = next(iter(failed.values()))
    why = few([_naming(name, str(result["msg"])) for name, result in failed.items()])
    kept = ("error", "hint", "facts", "exception")
    return {
        "failed": True,
        "msg": shortened(f"{len(failed)} of {len(results)} images failed: {'; '.join(why)}"),
        **{member: first[member] for member in kept if member in first},
    }


def _naming(name: str, message: str) -> str:
    return message if _shown(name) in message else f"{_shown(name)}: {message}"


def _shown(name: str) -> str:
    """A name as the list has it; a URL without what may be secret."""
    return shown(name) if name.startswith(("http://", "https://")) else name
