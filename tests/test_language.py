"""Comments that get no score, and that nothing else is refused."""

import pytest
from conftest import ROOT, run

from moderation.comments import Article, Comment
from moderation.dataset import read_dataset
from moderation.language import SCORED, TOO_SHORT, UNSUPPORTED_LANGUAGE

ARTICLE = Article("The harbour bridge", "The council will repair the harbour bridge.")


@pytest.mark.parametrize("text", ["👍", "!!!", "https://a.example/b", "@somebody 🙂", "10/10", "k", "..."])
def test_without_words_it_is_too_short(scorer, text):
    assert_refused(scorer, text, TOO_SHORT)


@pytest.mark.parametrize(
    "text",
    [
        "Das ist doch kompletter Unsinn, ihr Idioten",
        "C'est vraiment n'importe quoi, cet article",
        "¡Qué vergüenza de gobierno, son todos unos ladrones!",
        "Vergogna, siete dei buffoni incapaci",
        "Jullie zijn allemaal idioten en leugenaars",
        "To jest kompletna bzdura i wszyscy o tym wiedzą",
        "привет мир как дела",
        "这篇文章写得不好",
        "この記事はひどい",
        "هذا المقال سيء جدا",
    ],
)
def test_other_languages_are_told(scorer, text):
    assert_refused(scorer, text, UNSUPPORTED_LANGUAGE)


def assert_refused(scorer, text, status):
    [score] = scorer.score([Comment(text, article=ARTICLE)])
    assert score.status == status and not score.flagged
    assert all(label.score is None and label.reason == status for label in score.labels.values())
    values, statuses = scorer.probabilities_and_statuses([Comment("A fine bridge."), Comment(text, article=ARTICLE)])
    assert statuses == [SCORED, status] and not scorer.flags(values)[1].any()


@pytest.mark.parametrize("text", ["Idiot", "rubbish!", "ѕtuріd іdіоt", "wtf bro", "F U C K", "lol", "Shameful."])
def test_short_and_odd_english_is_scored(scorer, text):
    [score] = scorer.score([Comment(text)])
    assert score.status == SCORED and score.labels["abusive"].score is not None


def test_addresses_and_disguised_words_are_of_no_language(scorer):
    texts = ["cheap p@tches no script zzorfpills24 .xq", "gratis zzorf nessun fregno ordinare subito"]
    assert scorer.probabilities_and_statuses([Comment(text) for text in texts])[1] == [SCORED, UNSUPPORTED_LANGUAGE]


def test_of_the_starter_set_only_the_french_comment_is_refused(scorer):
    comments = [Comment(text) for text in read_dataset(ROOT / "data").comments["text"]]
    statuses = scorer.probabilities_and_statuses(comments)[1]
    refused = [(c.text, status) for c, status in zip(comments, statuses, strict=True) if status != SCORED]
    assert [(text.split()[0], status) for text, status in refused] == [("Calisse", UNSUPPORTED_LANGUAGE)]


def test_the_service_and_the_file_say_so(server, tmp_path):
    reply = server.score(text="Das ist doch kompletter Unsinn, ihr Idioten")
    assert reply["status"] == UNSUPPORTED_LANGUAGE and reply["flagged"] is False
    assert reply["labels"]["abusive"]["score"] is None
    assert reply["labels"]["abusive"]["reason"] == UNSUPPORTED_LANGUAGE
    (tmp_path / "in.csv").write_text("id,text\n1,https://a.example/b\n2,A fine bridge\n", encoding="utf-8")
    done = run("-m", "moderation", "score", tmp_path / "in.csv", tmp_path / "out.csv")
    assert done.returncode == 0 and "1 comments are too_short" in done.stderr
    assert (tmp_path / "out.csv").read_text().splitlines()[1] == "1,,,,"
