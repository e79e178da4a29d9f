# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl trust. Source: behaviours A60 to A62."""

from __future__ import annotations

from ...errors import InvalidSpec, NotFound, Unsupported, printable
from ...image import policies
from ...image.keysource import discover_keys, read_file, read_source, session
from ...image.keystore import Prefix
from ...image.policy import FetchPolicy, parse_insecure
from ...image.reference import shown
from ...stage0.image_policies import ensure_no_policy, ensure_policy
from ...stage0.trust import ensure_key
from ..call import can_ask, write_error
from ..flags import UsageError
from ..keyreview import ask, show, show_key, tell
from ..plans import carry_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from ...image.keysource import OfferedFile
    from ...image.openpgp import OfferedKeys
    from ...image.transport import Transport
    from ..call import Call

    T = TypeVar("T")


def trust(call: Call) -> int:
    """Trust keys for a prefix of image names, or for all; or write the policy for docker images of a prefix."""
    if call.options.has("policy"):
        return _decide(call)
    if call.options.has("lookaside"):
        raise InvalidSpec("--lookaside is of a policy for docker images", "add --policy=signed")
    prefix = _prefix(call)
    policy = _policy(call)
    transport = None if call.words.arguments else session(call.host, policy)
    locations = (
        discover_keys(call.host, prefix, policy, transport) if transport else tuple(call.words.arguments)
    )
    for location in locations:
        source = _source(call, location, policy, transport)
        show(prefix, source)
        reviewed = not (call.options.on("skip-fingerprint-review") or call.dry_run or _vouched(call, source))
        if reviewed and not _review(call, prefix):
            call.say(f'not trusting "{source.location}"')
            continue
        if not call.dry_run:
            how = "after" if reviewed else "without"
            call.tell(f'Trusting "{source.location}" for prefix "{prefix}" {how} fingerprint review.')
        _outcome, path = carry_out(call, ensure_key(call.host, prefix, source.key))
        if not call.dry_run:
            call.tell(
                f'Added key for prefix "{prefix}" at "{path}"' if prefix else f'Added root key at "{path}"'
            )
    return 0


def _decide(call: Call) -> int:
    """Write or remove a policy. The keys of signed are reviewed as others are."""
    prefix, kind = _docker_prefix(call), call.options.text("policy")
    if kind == policies.NONE:
        carry_out(call, ensure_no_policy(call.host, prefix))
        return 0
    keys, location = policies.Keys(), ""
    if call.words.arguments:
        keys, location, vouched = _docker_keys(call)
        reviewed = not (call.options.on("skip-fingerprint-review") or call.dry_run or vouched)
        if reviewed and not _review(call, prefix):
            call.say(f'not trusting "{location}"')
            return 0
    wanted = policies.ImagePolicy(prefix, kind, keys, call.options.text("lookaside"))
    _outcome, path = carry_out(call, ensure_policy(call.host, wanted))
    if not call.dry_run:
        call.tell(f'The policy for {prefix or "all docker images"} is "{kind}", at "{path}"')
    return 0


def _docker_prefix(call: Call) -> str:
    """The prefix of a policy, "" for all images. Raises InvalidSpec."""
    prefix = call.options.text("prefix")
    if bool(prefix) == call.options.on("root"):
        raise InvalidSpec(
            "--root and --prefix usage mutually exclusive"
            if prefix
            else "a policy has no bounds without --prefix",
            "--prefix=docker.io/library is for the images of that name and below it, --root for all docker images",
        )
    return policies.parse_prefix(prefix) if prefix else ""


def _docker_keys(call: Call) -> tuple[policies.Keys, str, bool]:
    """The keys of the only argument, its name, and whether it needs no review."""
    if len(call.words.arguments) != 1:
        raise UsageError("trust with a policy takes one file or URL of keys")
    location, policy = call.words.arguments[0], _policy(call)

    def read() -> tuple[policies.Keys, OfferedFile]:
        file = read_file(call.host, location, policy)
        return policies.keys_of(file.data, file.location), file

    keys, file = _accessed(location, policy, read)
    write_error(f'key: "{printable(file.location)}"\n')
    for key in keys.openpgp:
        show_key(key)
    for verifying in keys.cosign:
        tell(f"{verifying.algorithm} key fingerprint is: sha256:{verifying.fingerprint}")
    return keys, file.location, _vouched(call, file)


def _prefix(call: Call) -> str:
    """The prefix of the keys, "" for root keys. Raises InvalidSpec, and UsageError where neither is given."""
    options, prefix = call.options, call.options.text("prefix")
    if prefix and options.on("root"):
        raise InvalidSpec("--root and --prefix usage mutually exclusive")
    if prefix:
        try:
            return Prefix(prefix)
        except InvalidSpec as err:
            raise InvalidSpec(err.on_argv or err.message, err.hint) from err
    if not options.on("root") and call.words.arguments:
        raise InvalidSpec(
            "aborting due to implicit unbounded trust (root domain)",
            "--prefix=PREFIX trusts a key for images of that name and below it, --root for all images",
        )
    if not call.words.arguments:
        raise UsageError("trust takes a key, a prefix, or both")
    return ""


def _policy(call: Call) -> FetchPolicy:
    """How keys are downloaded. Raises InvalidSpec where images need no signatures. Source: behaviours A60."""
    insecure = parse_insecure(call.options.text("insecure-options"))
    if "image" in insecure:
        raise InvalidSpec(
            "could not get the keystore",
            "--insecure-options=image switches signatures off: leave it out to trust a key",
        )
    plain = ("http",) if call.options.on("insecure-allow-http") else ()
    return FetchPolicy(insecure=(*plain, *(("tls",) if "tls" in insecure else ())))


def _source(call: Call, location: str, policy: FetchPolicy, transport: Transport | None) -> OfferedKeys:
    """The keys of a KEY."""
    return _accessed(location, policy, lambda: read_source(call.host, location, policy, transport))


def _accessed(location: str, policy: FetchPolicy, read: Callable[[], T]) -> T:
    """What is read of a KEY, whose name is in errors. Source: behaviours A62."""
    asked = shown(location) if "://" in location else location
    if location.startswith("http://") and not policy.waives("http"):
        raise InvalidSpec(
            f"error accessing the key {asked}: --insecure-allow-http required for http URLs",
            "anything that is sent over plain http can be replaced on its way: compare the fingerprint",
        )
    try:
        return read()
    except InvalidSpec as err:
        raise InvalidSpec(f"error accessing the key {asked}: {err.reason}", err.hint) from err
    except NotFound as err:
        raise NotFound(f"error accessing the key {asked}: {err.message}", err.hint) from err


def _vouched(call: Call, source: OfferedKeys | OfferedFile) -> bool:
    return call.options.on("trust-keys-from-https") and source.vouched


def _review(call: Call, prefix: str) -> bool:
    """Ask the user. Raises Unsupported where no user can answer. Source: behaviours A61."""
    if not can_ask():
        call.say(f'To trust the key for "{prefix}", do one of the following:')
        call.say(" - run podctl trust from a terminal")
        call.say(" - compare the fingerprint, and run podctl trust with --skip-fingerprint-review")
        raise Unsupported(
            "error reviewing key: unable to ask user to review fingerprint due to lack of tty",
            "in plays the module pod_trust does it, with the fingerprint that you expect",
        )
    return ask()


ENTRIES: dict[str, Callable[[Call], int]] = {"trust": trust}
