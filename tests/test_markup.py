"""Markup is removed as a browser would, and every character knows where it stood."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation.markup import as_is, strip_html
from moderation.sentences import sentences


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<p>You</p><p>id<b>iot</b></p>", "You\nidiot"),
        ("one<br><br/>two<BR>three", "one\ntwo\nthree"),
        ("Tom &amp; Jerry &lt;3 &#128512;&#x1F600; &nbsp;&copy2", "Tom & Jerry <3 😀😀 \xa0©2"),
        ("3 < 4 and 5 <6, a<b", "3 < 4 and 5 <6, a"),
        ("a &unknown; & b &", "a &unknown; & b &"),
        ('<a title="a > b" href=x>link</a>', "link"),
        ("<a title='</a>'>link", "link"),
        ("x<script>if (a<b) bad()</script >y<STYLE>p{}</style>z", "xyz"),
        ("x<script>never closed", "x"),
        ("x<template><p>y</p></template>z", "xz"),
        ("a<!-- <b>hidden --> b<!--> c<!---> d<!--e--!> f", "a b c d f"),
        ("a<!-- unfinished", "a"),
        ("a<!DOCTYPE html>b<?xml?>c</3>d", "abcd"),
        ("kept <b unfinished", "kept "),
        ("ends in </", "ends in </"),
        ("&#0;&#x110000;&#" + "9" * 5000 + ";x", "\ufffd\ufffd\ufffdx"),
        ("", ""),
        ("<p></p>", ""),
    ],
)
def test_what_a_reader_sees_is_left(source, text):
    assert strip_html(source).text == text


def test_places_point_into_the_source():
    source = "<p>You &amp; your</p><p>id<b>iot</b>s 😀</p>"
    plain = strip_html(source)

    def at(word):
        begin = plain.text.index(word)
        first, last = plain.place(begin, begin + len(word))
        return source[first:last]

    assert at("You") == "You"
    assert at("&") == "&amp;"
    assert at("idiots") == "id<b>iot</b>s"
    assert at("your\nid") == "your</p><p>id"
    assert at("😀") == "😀"


@given(st.text())
def test_escaped_text_comes_back(text):
    plain = strip_html(html.escape(text))
    assert plain.text == text
    assert as_is(text).text == text


@given(st.text(alphabet="<>&/!-='\" \n#;xpabscriptstyle😀", max_size=80))
def test_any_soup_keeps_its_places(source):
    plain = strip_html(source)
    assert len(plain.text) == len(plain.begins) == len(plain.ends)
    assert list(plain.begins) == sorted(plain.begins) and list(plain.ends) == sorted(plain.ends)
    for character, begin, end in zip(plain.text, plain.begins, plain.ends, strict=True):
        assert 0 <= begin < end <= len(source)
        assert character == source[begin:end] or source[begin] in "<&"


@pytest.mark.parametrize("unit", ["<", "<a ", "<a\n", "<!--", "<a href='", "<script>", "&", "&#", "<a = ", "</", "<?"])
def test_unfinished_markup_costs_no_more_than_its_length(unit):
    """Quadratic work would take minutes here, and the suite's time limit would show it."""
    strip_html(unit * (1_000_000 // len(unit)))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("What an idiot! Really.  Is he? Yes", ["What an idiot!", "Really.", "Is he?", "Yes"]),
        ("one line\nanother\n\n third ", ["one line", "another", "third"]),
        ('He said "no." Then he left...', ['He said "no."', "Then he left..."]),
        ("Version 1.2 of example.com", ["Version 1.2 of example.com"]),
        ("!!! ??? Hey.", ["!!! ???", "Hey."]),
        ("Hey. !!! ??? Ho.", ["Hey. !!! ???", "Ho."]),
        (" \n ", []),
    ],
)
def test_sentences(text, parts):
    assert [text[begin:end] for begin, end in sentences(text, 99)] == parts


def test_of_many_sentences_the_last_takes_the_rest():
    assert [end - begin for begin, end in sentences("a. b. c. d.", 2)] == [2, 8]
