# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The meta tags of a web page that may be hostile, broken or not HTML at all. Pure.

Each construct either ends or the page does, so the time is linear; html.parser of Python up to 3.13 takes quadratic
time for a page of unfinished tags. Source: HTML standard, 13.2.5 "Tokenization".
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# The rest of a larger page is not read: meta tags are at its beginning.
LARGEST_PAGE = 1 << 20
_MARKS = ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"), (b"\xef\xbb\xbf", "utf-8"))
_COMMENT_END = re.compile(r"--!?>")
_TAG_NAME = re.compile(r"</?([a-z][^\s/>]*)", re.IGNORECASE)
_BETWEEN = re.compile(r"[\s/]*")
# A "=" that begins a name is part of it.
_NAME = re.compile(r"=?[^\s/>=]*")
_EQUALS = re.compile(r"\s*=\s*")
_UNQUOTED = re.compile(r"[^\s>]*")
# No character has so many digits, and int() refuses, or takes quadratic time for, some thousands of them.
_ENDLESS = re.compile(r"&#[0-9]{20,};?")
# Elements whose content is text; that of "plaintext" never ends.
_TEXTS = ("iframe", "noembed", "noframes", "plaintext", "script", "style", "textarea", "title", "xmp")


def meta_tags(page: bytes) -> Iterator[tuple[str, str]]:
    """The name and the content of each meta tag that has both, in their order. Never raises."""
    for tag, attributes in _start_tags(_decoded(page[:LARGEST_PAGE])):
        if tag == "meta" and "name" in attributes and "content" in attributes:
            yield _unescaped(attributes["name"]), _unescaped(attributes["content"])


def _unescaped(text: str) -> str:
    import html

    return html.unescape(_ENDLESS.sub("\ufffd", text))


def _decoded(page: bytes) -> str:
    """The text of a page. Without a byte order mark it is UTF-8, or else a superset of ASCII."""
    for mark, encoding in _MARKS:
        if page.startswith(mark):
            return page[len(mark) :].decode(encoding, "replace")
    try:
        return page.decode()
    except UnicodeDecodeError:
        return page.decode("latin-1")


def _start_tags(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    at = text.find("<")
    while at >= 0:
        name = _TAG_NAME.match(text, at)
        if not name:
            at = text.find("<", _end_of_other(text, at))
            continue
        attributes: dict[str, str] = {}
        at = _read_attributes(text, name.end(), attributes)
        if at < 0:
            return
        if not name[0].startswith("</"):
            tag = name[1].lower()
            yield tag, attributes
            if tag in _TEXTS:
                at = _end_of_text(text, at, tag)
        at = text.find("<", at)


def _end_of_other(text: str, at: int) -> int:
    """The place after a comment, a declaration, an instruction or a "<" that begins nothing."""
    if text.startswith("<!--", at):
        end = _COMMENT_END.search(text, at + 2)
        return end.end() if end else len(text)
    if text.startswith(("<!", "<?", "</"), at):
        return text.find(">", at) + 1 or len(text)
    return at + 1


def _end_of_text(text: str, at: int, tag: str) -> int:
    """The place of the end tag of an element whose content is text."""
    if tag == "plaintext":
        return len(text)
    end = re.compile(rf"</{tag}[\s/>]", re.IGNORECASE).search(text, at)
    return end.start() if end else len(text)


def _read_attributes(text: str, at: int, attributes: dict[str, str]) -> int:
    """Read the attributes of a tag, of which the first of a name counts; return where it ends, -1 if it does not."""
    while True:
        at = _after(_BETWEEN, text, at)
        if text.startswith(">", at):
            return at + 1
        if at >= len(text):
            return -1
        begin, at = at, _after(_NAME, text, at)
        name, value = text[begin:at].lower(), ""
        equals = _EQUALS.match(text, at)
        if equals:
            begin = equals.end()
            quote = text[begin : begin + 1]
            if quote in ("'", '"'):
                at = text.find(quote, begin + 1)
                if at < 0:
                    return -1
                value, at = text[begin + 1 : at], at + 1
            else:
                at = _after(_UNQUOTED, text, begin)
                value = text[begin:at]
        attributes.setdefault(name, value)


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    """The place after what a pattern matches at a place, which may be nothing."""
    found = pattern.match(text, at)
    return found.end() if found else at
