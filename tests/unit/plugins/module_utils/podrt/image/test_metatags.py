# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Meta tags of pages that may be hostile."""

from __future__ import annotations

import html
import html.parser
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import metatags

TAG = '<meta name="a" content="b c">'
FOUND = [("a", "b c")]


def tags(page):
    return list(metatags.meta_tags(page if isinstance(page, bytes) else page.encode()))


@pytest.mark.behaviour("B13")
@pytest.mark.parametrize(
    "page",
    [
        TAG,
        f"<!DOCTYPE html><html><head><title>x</title>{TAG}</head>",
        TAG.replace(">", "/>"),
        TAG.replace('"', "'"),
        "<META CONTENT='b c' NaMe=a>",
        '<meta\n\tname = "a"\n content= "b c" >',
        '<meta charset=utf-8 name=a name=z content="b c" content="z">',
        '<meta / name="a"/content="b c">',
        '<meta name="&#97;" content="b&#32;c">',
        f"<!-- {TAG.replace('a', 'x')} -->{TAG}",
        f"<!-->{TAG}",
        f"<!--->{TAG}",
        f"<!-- x --!>{TAG}",
        f"<!x>{TAG}<?y?>",
        f"</>{TAG}",
        f"< {TAG}",
        f"1<2{TAG}",
        f"<b a={TAG}>{TAG}",
        f"<p =x y>{TAG}",
        f"<script>{TAG}{TAG}</script >{TAG}",
        f"<SCRIPT>{TAG}</scripts>{TAG}</SCRIPT>{TAG}",
        f"<title>{TAG}</title>{TAG}",
        f"</title>{TAG}",
        f"</meta name=x content=y>{TAG}",
        f"<metadata name=x content=y>{TAG}<meta name=x><meta content=y>",
        b"\xef\xbb\xbf" + TAG.encode(),
        b"\xff\xfe" + TAG.encode("utf-16-le"),
        b"\xfe\xff" + TAG.encode("utf-16-be") + b"\0",
        b"\xe9" + TAG.encode("latin-1"),
        b"\0" + TAG.encode() + b"\0\xff",
    ],
)
def test_a_tag_is_found_in_any_spelling(page):
    assert tags(page) == FOUND


@pytest.mark.parametrize(
    "page",
    [
        "",
        TAG[:-1],
        TAG.replace(' content="b c"', ""),
        f"<!-- {TAG}",
        f"<script>{TAG}",
        f"<plaintext>{TAG}</plaintext>{TAG}",
        f'<a href="{TAG[:-1]}>',
        '<meta name="a" content="b c>',
        "<meta name='a' content=>"[:-1],
        " " * metatags.LARGEST_PAGE + TAG,
        TAG.encode("utf-16-le"),
    ],
)
def test_what_is_no_whole_tag_of_the_beginning_of_a_page_counts_for_nothing(page):
    assert tags(page) == []


def test_other_letters_are_kept():
    assert tags('<meta name="ä" content="&eacute;">') == [("ä", "é")]
    assert tags("<meta name=\xe4 content='\xe9'>".encode("latin-1")) == [("ä", "é")]


PIECES = [
    "<",
    ">",
    "/",
    "=",
    '"',
    "'",
    "!",
    "--",
    "meta",
    " name",
    " content",
    "a",
    "title",
    "script",
    "&",
    " ",
]


@given(st.one_of(st.binary(), st.lists(st.sampled_from(PIECES)).map(lambda parts: "".join(parts).encode())))
def test_no_page_raises(page):
    for name, content in tags(page):
        assert isinstance(name, str)
        assert isinstance(content, str)


@given(
    st.lists(st.tuples(st.text(min_size=1), st.text(), st.sampled_from(["", "<p>x</p>", "<!-- <meta> -->"])))
)
def test_a_well_formed_page_means_what_it_means_to_pythons_parser(parts):
    page = "".join(
        f'{between}<meta name="{html.escape(name)}" content="{html.escape(content)}">'
        for name, content, between in parts
    )
    found = []

    class Parser(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag == "meta" and len(attrs) == 2:
                found.append(tuple(value or "" for _name, value in attrs))

    Parser().feed(page)
    assert tags(page.encode("utf-8", "replace")) == [
        (name.encode("utf-8", "replace").decode(), content.encode("utf-8", "replace").decode())
        for name, content in found
    ]


@pytest.mark.parametrize(
    "piece",
    [
        *("<", "<!", "<!-", "<!--", "<?", "</", "</a", "<a", "<a ", "<a b", "<a b=", "<a b='", "<a>", "<a ="),
        *(
            "<title>",
            "<title></titl",
            "<!-->",
            " ",
            "a ",
            "<a    ",
            "<meta name=a content=",
            "&",
            "&#1",
            "-->",
            "<script></",
        ),
    ],
)
def test_the_time_is_linear(piece):
    begin = time.process_time()
    for _tag in metatags.meta_tags((piece * metatags.LARGEST_PAGE).encode()[: metatags.LARGEST_PAGE]):
        pass
    assert time.process_time() - begin < 10, "a quadratic reader takes minutes"


@pytest.mark.parametrize("digits", ["9" * 19, "9" * 20, "9" * 5000, "0" * 5000, "9" * (400 << 10)], ids=len)
def test_a_character_of_endless_digits_is_a_replaced_one(digits):
    begin = time.process_time()
    assert tags(f'<meta name="a" content="&#{digits};b&#{digits} c">') == [("a", "\ufffdb\ufffd c")]
    assert time.process_time() - begin < 2
