"""What holds of any input whatever: each function takes bytes and fails where something does not hold."""

import csv
import html
import json
import math
import re
import tempfile
from pathlib import Path

from moderation import comments, dataset, markup, normal, sentences

_SPACED = re.compile(r"[^\W\d_](?: [^\W\d_]){3}")


def normal_pieces(data: bytes) -> None:
    """`moderation.normal`: pieces lie in the text in order, and one line does not change what another is read as."""
    text = data.decode("utf-8", "replace")
    found = normal.pieces(text)
    spaced = _SPACED.search(text)  # "y o u f o o l" is cut into words by what stands around them
    end = 0
    for piece in found:
        assert end <= piece.begin < piece.end <= len(text)
        assert piece.text and not any(character.isspace() for character in piece.text)
        assert spaced or normal.normalise(text[piece.begin : piece.end]) == piece.text
        assert not text[end : piece.begin].split() or not normal.normalise(text[end : piece.begin])
        end = piece.end
    assert not normal.normalise(text[end:])
    assert normal.normalise(text) == " ".join(piece.text for piece in found)
    first, _, rest = text.partition("\n")
    alone = normal.pieces(first) + [
        normal.Piece(piece.text, piece.begin + len(first) + 1, piece.end + len(first) + 1)
        for piece in normal.pieces(rest)
    ]
    assert found == alone


def rows(data: bytes) -> None:
    """`moderation.comments` and `moderation.dataset`: a file is read or refused by name, and rows mean one thing.

    The first byte chooses CSV (even) or JSON Lines (odd).
    """
    suffix = ".jsonl" if data[:1] and data[0] % 2 else ".csv"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"comments{suffix}"
        path.write_bytes(data[1:])
        _read_again(path)
        _labelled(path)
        path.rename(path.with_stem("articles"))
        try:
            articles = comments.read_articles(path.with_stem("articles"))
        except comments.DataError as error:
            assert str(error)
        else:
            assert all(article.text for article in articles.values())


def _read_again(path):
    """Rows written down again are read as the same rows."""
    read = []
    try:
        for line, row in comments.read_rows(path):
            assert line >= 1
            if not isinstance(row, comments.DataError):
                read.append(row)
            else:
                assert row.line == line and row.mend and str(path) in str(row)
    except comments.DataError as error:
        assert str(path) in str(error)
        return
    if not read:
        return
    again = path.with_stem("again")
    with open(again, "w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            writer = csv.DictWriter(file, list(read[0]), quoting=csv.QUOTE_ALL)
            writer.writeheader()
            writer.writerows(read)
        else:
            file.writelines(json.dumps(row) + "\n" for row in read)
    # Written as JSON, since NaN, which Python's JSON takes, does not equal itself.
    assert json.dumps([row for _, row in comments.read_rows(again)]) == json.dumps(read)


def _labelled(path):
    """What is wrong with a row stops the reading, or leaves out that row alone."""
    try:
        data = dataset.read_dataset(path, skip_bad_rows=True)
    except comments.DataError as error:
        assert str(error)
        data = None
    try:
        strict = dataset.read_dataset(path)
    except comments.DataErrors as errors:
        assert errors.errors and all(error.mend for error in errors.errors)
        assert data is None or [str(error) for error in data.problems] == [str(error) for error in errors.errors]
    except comments.DataError as error:
        assert data is None and str(error)
    else:
        assert data is not None and data.comments.equals(strict.comments) and not data.problems
    if data is None:
        return
    assert data.comments["id"].is_unique and len(data.comments)
    for row in data.comments.to_dict("records"):
        assert row["text"].strip() and len(row["text"].encode()) <= comments.TEXT_LIMIT
        assert all(math.isnan(row[label]) or 0 <= row[label] <= 1 for label in comments.LABELS)


def markup_places(data: bytes) -> None:
    """`moderation.markup`: every character that is left stood in the source, and escaped text comes back."""
    source = data.decode("utf-8", "replace")
    plain = markup.strip_html(source)
    assert len(plain.text) == len(plain.begins) == len(plain.ends)
    before = (0, 0)
    for character, *place in zip(plain.text, plain.begins, plain.ends, strict=True):
        begin, end = place
        assert 0 <= begin < end <= len(source)
        assert begin >= before[0] and end >= before[1]
        assert character == source[begin:end] or source[begin] in "<&"
        before = begin, end
    assert markup.strip_html(html.escape(source)).text == source
    spans = sentences.sentences(plain.text, 50)
    assert all(begin < end for begin, end in spans) and spans == sorted(spans) and len(spans) <= 50


ALL = {"normal": normal_pieces, "rows": rows, "markup": markup_places}
