"""Cues beside the n-grams: style, word classes, and which of them stand near each other.

An n-gram knows that a word is an insult only if it met that word in training; these cues know it from the
lists in `moderation.lexicon`, and know whom it is said to. Each cue is a number of about 0 to 2 and, where it
comes from certain words, tells which.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import eq
from typing import NamedTuple

import numpy as np

from moderation import lexicon
from moderation.normal import MENTION, SOMEGROUP, SOMEGROUPS, URL, Piece, pieces, reused, without_identity

_CLASSES = {
    "insult": lexicon.INSULT,
    "contempt": lexicon.CONTEMPT,
    "profanity": lexicon.PROFANITY,
    "violence": lexicon.VIOLENCE,
    "dehumanising": lexicon.DEHUMANISING,
    "vice": lexicon.VICE,
    "dismissal": lexicon.DISMISSAL,
    "positive": lexicon.POSITIVE,
    "praise": lexicon.PRAISE,
    "misfortune": lexicon.MISFORTUNE,
    "sarcasm": lexicon.SARCASM,
    "intensity": lexicon.INTENSITY,
    "hedging": lexicon.HEDGING,
    "reasoning": lexicon.REASONING,
    "second_person": lexicon.SECOND_PERSON,
    "third_person": lexicon.THIRD_PERSON,
    "first_person": lexicon.FIRST_PERSON,
    "negation": lexicon.NEGATION,
    "group": lexicon.GROUP,
    "identity": lexicon.IDENTITY,
}
_CLASSES_OF: dict[str, tuple[str, ...]] = {}
for _name, _words in _CLASSES.items():
    for _word in _words:
        _CLASSES_OF[_word] = (*_CLASSES_OF.get(_word, ()), _name)
_CLASSES_OF |= {SOMEGROUP: ("identity",), SOMEGROUPS: ("group", "identity")}

_DENSE_CLASSES = (
    "insult",
    "contempt",
    "profanity",
    "second_person",
    "third_person",
    "positive",
    "praise",
    "sarcasm",
)

# Phrases of several words, as regular expressions over the normalised text.
_PHRASES = {
    "attack_phrase": (
        r"shut (?:the \w+ )?up|go back to|get (?:a life|lost|a job|a grip|over it|help|out of)|grow up|piss off|"
        r"fuck off|bugger off|screw you|up yours|drop dead|kill yourself|go (?:to hell|away|home)|crawl back|"
        r"your (?:mom|mother|head|ass|meds|kind|ilk|sort)|what(?:'s| is) wrong with you|you make me sick|"
        r"shame on you|"
        r"how dare you|you people|people like you|low (?:iq|life|information)|brain ?(?:dead|cells?|less|washed)|"
        r"mental(?:ly)? (?:ill|illness|case|midget)|waste of (?:space|oxygen|skin|air)|"
        r"piece of (?:shit|crap|garbage|work|trash)|deserves? to (?:die|rot|be shot)|"
        r"should be (?:shot|hanged|hung|deported|jailed|locked|fired|ashamed)|full of (?:shit|crap|it)|kiss my|"
        r"suck (?:it|my)|son of a|village idiot|tin ?foil|lock (?:him|her|them) up|(?:too|so|as) (?:stupid|dumb)|"
        r"half a brain|no (?:brain|clue)|have a clue"
    ),
    "threat_phrase": (
        r"watch (?:your|his|her|their) (?:back|step)|(?:know|found|"
        r"find) (?:out )?(?:where|which) (?:you|he|she|they|house)|"
        r"pa(?:y|id) (?:you|him|her|them) a visit|you(?:'ll| will) (?:regret|pay|be sorry|see)|coming for you|"
        r"(?:he|she|they)(?:'ll| will) (?:regret|pay for|be sorry|get what)|"
        r"hope (?:you|he|she|they|your|his|her|their)(?: \w+){0,4} (?:die|"
        r"dies|rot|rots|burn|burns|suffer|suffers|choke|"
        r"chokes|crash|crashes|drown|drowns|cancer|hit by)|accidents? (?:do )?happen|one eye open|"
        r"(?:someone|somebody) (?:should|ought to|needs to|"
        r"will) (?!have|be able|explain|tell|check|ask|look|fix|write)|"
        r"deserves? (?:a |to be )?(?:beating|slap|slapped|kicking|bullet|rope|thrashing|shot|hanged|beaten|what)|"
        r"(?:teach|taught|learn) (?:you|him|her|them) a lesson|what(?:'s| is) coming to|be a shame if|"
        r"(?:six feet|body bag|lamp ?post|baseball bat|dark alley|up against (?:a|the) wall|wheelchair|hospital bed)|"
        r"(?:break|smash|kick|knock|cave|punch)(?:ing)? (?:your|his|her|their) \w+|"
        r"(?:won't|wouldn't) be (?:walking|smiling|laughing|missed)|see you (?:outside|in the car park|soon enough)"
    ),
    "belittling_phrase": (
        r"not (?:the|very|exactly|too|so|all that|particularly|"
        r"terribly) (?:brightest|sharpest|smartest|cleverest|bright|"
        r"smart|clever|sharp)|(?:sharpest|brightest) (?:tool|knife|"
        r"bulb|crayon)|(?:few|couple of) (?:sandwiches|bricks)|"
        r"brain cells?|(?:go|try|ever) (?:and )?(?:read|reading) (?:a|the|some)|do your (?:homework|research)|"
        r"says (?:more|a lot|it all|everything) about (?:you|him|her|them)|spoken like|coming from (?:you|someone|a)|"
        r"(?:people|men|women|types) like (?:you|him|her|them|that)|your (?:sort|lot|type|like|ilk)|"
        r"bless (?:you|your|his|her|their|him)|run along|sit down|(?:know|knows|knew) nothing|"
        r"never (?:worked|had a|done a|run|met|been near|left)|(?:you|he|she|they) (?:clearly|obviously|evidently)|"
        r"(?:clearly|obviously) (?:never|haven't|hasn't|don't|doesn't|can't|cannot)|typical|so[- ]called|"
        r"crawl(?:ed|s)? out|under (?:your|his|a) rock|(?:grow|man) up|nobody (?:asked|cares|likes)|"
        r"(?:what|that's) (?:you|they|these people) (?:always|all) (?:do|say)|(?:these|those) people|that lot|"
        r"(?:little|silly|stupid|poor|dear|old) (?:man|woman|girl|boy|lady|dear)|back to (?:school|bed|your|where)"
    ),
    "sarcastic_phrase": (
        r"oh,? (?:yes|yeah|sure|right|well|no|wait|really|my|great|please|look|the|boy|i)|yeah?,? (?:right|sure)|"
        r"sure,? (?:because|let's|that|it)|of course|what could (?:possibly )?go wrong|good luck with|"
        r"how (?:nice|lovely|convenient|dare|clever|surprising|wonderful|cute)|"
        r"thank(?:s| you) (?:so much )?for (?:the|your|proving|enlighten|sharing|making|nothing|clear|explain)|"
        r"just what (?:we|the|i)|what we need|i'm sure|i guess|let me guess|who knew|who(?:'d| would) have|"
        r"what a (?:surprise|shock|great|joke|wonderful|novel|concept|guy|shame|country|brilliant)|"
        r"no (?:kidding|wonder)|"
        r"you don't say|(?:god|heaven) forbid|(?:nice|good|great) (?:try|job)|well done|way to go|here we go|"
        r"there you go|next thing you know|if only|as if|give me a break|gimme a break|dream on|like that's|and pigs|"
        r"(?:pray|please|do) tell|tell us|imagine that|go figure|a whole new|must be (?:nice|so|great|the|a)|"
        r"because (?:we all|everyone knows|nothing says|that|god)|(?:we all|everyone|everybody) knows?|don't worry|"
        r"how about we|why (?:not|don't we)|maybe (?:we|you) (?:should|could|can)|let's (?:just|all|not)|"
        r"so (?:much|glad|happy|proud|nice|good)|isn't it|aren't (?:we|you|they)|can't wait|"
        r"love (?:it|how|that|when|the|being)|my favou?rite|you?'?ve? gotta|poor (?:little|baby|thing|guy|you)|"
        r"cry me|i wonder|wonder (?:if|how|why)"
    ),
    "civil_phrase": (
        r"thank you|i agree|good point|well said|i (?:think|believe|understand|hope)|in my (?:opinion|experience)|"
        r"i would|"
        r"would be|i don't think|according to|for example|fair enough|(?:good|great) article|well written"
    ),
}


def _alternatives(pattern):
    """The parts of a regular expression between the bars that stand in no bracket."""
    parts, depth = [""], 0
    for character in pattern:
        depth += (character == "(") - (character == ")")
        if character == "|" and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


_REPETITION = re.compile(r"\?|\{0,\d+\}")


def _first_words(alternative):
    """The words that what an alternative matches can begin with.

    Of regular expressions it knows what `_PHRASES` needs: letters, brackets, classes of two signs, and ``?`` or
    ``{0,n}`` behind them.
    """
    begun, ended = _beginnings(alternative)
    return begun | ended


def _beginnings(alternative):
    """Of what an alternative matches: what is a part of a word throughout, and first words that end within it."""
    begun, ended, place = {""}, set(), 0
    while begun and place < len(alternative):
        if alternative[place] == "(":
            depths = np.cumsum([(sign == "(") - (sign == ")") for sign in alternative[place:]])
            end = place + int(np.flatnonzero(depths == 0)[0])
            inner, place = alternative[place + 3 : end], end + 1
            if alternative[end - len(inner) - 1] == "!":  # looks ahead alone
                continue
            found = [_beginnings(each) for each in _alternatives(inner)]
            within, closed = (set().union(*some) for some in zip(*found, strict=True))
        elif alternative[place] == "\\":
            raise ValueError(f"{alternative!r} can begin with any word: each would have to be tried")
        else:
            end = alternative.index("]", place) if alternative[place] == "[" else place
            signs, place = alternative[place : end + 1].strip("[]"), end + 1
            within = {sign for sign in signs if sign.isalpha()}
            closed = {""} if len(within) < len(signs) else set()
        again = _REPETITION.match(alternative, place)
        if again:
            within, place = within | {""}, again.end()
        ended |= {first + rest for first in begun for rest in closed}
        begun = {first + rest for first in begun for rest in within}
    return begun, ended


@functools.cache
def _phrases_by_first_word():
    """For each word, the phrases that can begin with it: trying these alone finds what a search for all of them finds,
    in a fraction of the time."""
    found: dict[str, list[tuple[int, Callable]]] = {}
    for name, pattern in _PHRASES.items():
        beginnings: dict[str, list[str]] = {}
        for alternative in _alternatives(pattern):
            for first in _first_words(alternative):
                beginnings.setdefault(first, []).append(alternative)
        for first, some in beginnings.items():
            expression = re.compile(rf"(?:{'|'.join(some)})(?![^\W_])")
            found.setdefault(first, []).append((_INDEX[name], expression.match))
    return found


_RUN = re.compile(r"[^\W_]+")

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_CAPITALS = re.compile(r"\b[A-Z]{3,}\b")
_ELLIPSIS = re.compile(r"\.\.+|…")
_SCARE_QUOTES = re.compile(r'["“”][^"“”\n]{1,30}["“”]')
_QUOTATION = re.compile(r'["“”][^"“”\n]{31,400}["“”]|^>', re.M)
_SENTENCE_END = re.compile(r"[.!?]+(?:\s|$)")
_HAPPY = re.compile(
    "[\U0001f600-\U0001f60f\U0001f642\U0001f44d\U0001f389\u2764\U0001f60d\U0001f970]|(?<!\\w)[:;]-?[)D]"
)
_SCORNFUL = re.compile(
    "[\U0001f620-\U0001f62f\U0001f644\U0001f643\U0001f44f\U0001f612\U0001f611\U0001f926\U0001f921\U0001f4a9"
    "\U0001f602\U0001f923\U0001f62d]|(?<!\\w):-?[(/]"
)

_STYLE = [
    "length",
    "length_squared",
    "short",
    "word_length",
    "capitals",
    "capitals_share",
    "all_capitals",
    "lower_start",
    "no_end",
    "exclamations",
    "many_exclamations",
    "questions",
    "many_questions",
    "ends_question",
    "ends_exclamation",
    "ellipses",
    "scare_quotes",
    "quotations",
    "happy_sign",
    "scornful_sign",
    "hashtag",
    "link",
    "mention",
    "digits",
    "brackets",
    "line_breaks",
    "asterisk",
    "sentences",
    "sentence_length",
]
_NEAR = [
    "plain_insult",
    "negated_insult",
    "insult_to_you",
    "scorn_of_you",
    "scorn_of_group",
    "scorn_of_them",
    "called_insult",
    "scorn_first",
    "scorn_twice",
    "scorn_often",
    "insult_quoted",
    "violence_to_people",
    "profanity_to_you",
    "praise_of_misfortune",
    "praise_exclaimed",
    "praise_of_you",
    "praise_first",
    "praise_negated",
    "praise_asked",
    "sarcasm_first",
    "sarcastic_praise",
    "identity_scorned",
    "dehumanising_of_people",
    "called_dehumanising",
    "word_twice",
]
NAMES = (
    *_STYLE,
    *(f"words_{name}" for name in _CLASSES),
    *(f"share_{name}" for name in _DENSE_CLASSES),
    *_NEAR,
    *_PHRASES,
)
_INDEX = {name: index for index, name in enumerate(NAMES)}
_SHARES = _INDEX[f"share_{_DENSE_CLASSES[0]}"]
_OF_CLASS = {
    name: tuple(_INDEX[cue] for cue in (f"words_{name}", f"share_{name}") if cue in _INDEX and name != "identity")
    for name in _CLASSES
}
_NO_WORDS = [0.0] * (len(NAMES) - len(_STYLE))


@dataclass(slots=True)
class Reading:
    """What the cues, and what tells the language, need to know of a normalised piece, whatever stands around it.

    Attributes
    ----------
    text : str
    words : tuple of str
        Names of identity groups exchanged.
    classes : tuple of (int, tuple of str)
        For each word that is of some: its place among `words`, and their names.
    phrases : tuple of (int, list of (int, callable))
        Where in the piece a phrase may begin: the place, and for each cue the function that tells whether one does.
    link, number : bool
    spoken : tuple of str
        The words as they were written; links and names of people have none.
    common : int
        How many of these are common English.
    """

    text: str
    words: tuple[str, ...]
    classes: tuple[tuple[int, tuple[str, ...]], ...]
    phrases: tuple[tuple[int, list[tuple[int, Callable]]], ...]
    link: bool
    number: bool
    spoken: tuple[str, ...]
    common: int


def reading(piece: str) -> Reading:
    """What is known of one normalised piece."""
    by_first_word = _phrases_by_first_word()
    exchanged = without_identity(piece)
    words = spoken = tuple(piece_words(exchanged))
    if exchanged != piece:
        spoken = tuple(piece_words(piece))
    if piece == URL or piece.startswith(MENTION):
        spoken = ()
    classes = [(place, _CLASSES_OF[word]) for place, word in enumerate(words) if word in _CLASSES_OF]
    runs = [(0, piece)] if piece.isalpha() else [(run.start(), run.group()) for run in _RUN.finditer(piece)]
    phrases = [(place, by_first_word[run]) for place, run in runs if run in by_first_word]
    common = sum([word in lexicon.KNOWN_WORDS for word in spoken])
    return Reading(piece, words, tuple(classes), tuple(phrases), piece == URL, piece[:1].isdigit(), spoken, common)


_kept = reused(8_192)(reading)


def cues(text: str, found: list[Piece] | None = None) -> np.ndarray:
    """The cues of one comment.

    Parameters
    ----------
    text : str
    found : list of Piece, optional
        Its pieces, where they are known already.

    Returns
    -------
    ndarray of float64, shape (len(NAMES),)
    """
    found = pieces(text) if found is None else found
    return np.array(cue_values(text, [_kept(piece.text) for piece in found]))


def cue_values(text: str, found: Sequence[Reading], places: dict[int, list[int]] | None = None) -> list[float]:
    """The values of the cues, in the order of `NAMES`.

    Parameters
    ----------
    text : str
    found : sequence of Reading
        Of its pieces.
    places : dict, optional
        Is filled: for a cue that comes from words, by its index in `NAMES`, the indices of the pieces.
    """
    words: list[str] = []
    classes: dict[str, list[int]] = {}
    phrased = False
    for piece in found:
        if piece.classes:
            before = len(words)
            for place, names in piece.classes:
                for name in names:
                    if name in classes:
                        classes[name].append(before + place)
                    else:
                        classes[name] = [before + place]
        words += piece.words
        if piece.phrases:
            phrased = True
    values = [*_style(text, found, words), *_NO_WORDS]
    said: list[tuple[int, Sequence[int]]] = []

    def put(name, value, hits=()):
        if value:
            cue = _INDEX[name]
            values[cue] = value
            said.append((cue, hits))

    _near(classes, words, text, put)
    root = math.sqrt(len(words) + 9)
    for name, hits in classes.items():
        for cue in _OF_CLASS[name]:
            values[cue] = math.log1p(len(hits)) if cue < _SHARES else min(1.0, 3 * len(hits) / root)
            said.append((cue, hits))
    if places is not None:
        piece_of = [index for index, piece in enumerate(found) for _ in piece.words]
        places |= {cue: sorted({piece_of[hit] for hit in hits}) for cue, hits in said if hits}
    if phrased:
        _phrases(found, values, places)
    return values


def piece_words(piece: str) -> list[str]:
    """The words in a normalised piece."""
    return [piece] if piece.isalpha() else _WORD.findall(piece)


def _style(text, found, words):
    """The values of `_STYLE`, in its order."""
    count = max(len(words), 1)
    size = math.log1p(count) / 3
    capitals = len(_CAPITALS.findall(text))
    letters = [c for c in text if c.isalpha()] if capitals and count >= 3 else []
    bare = text.strip()
    exclamations, questions = text.count("!"), text.count("?")
    quoted = '"' in text or "“" in text or "”" in text or ">" in text
    signed = ":" in text or ";" in text or not text.isascii()
    sentences = max(1, len(_SENTENCE_END.findall(text)))
    return [
        size,
        size * size,
        float(count <= 8),
        len("".join(words)) / count / 5,
        min(capitals, 5) / 2,
        min(1.0, 2 * capitals / count),
        float(bool(letters) and sum(map(str.isupper, letters)) > 0.7 * len(letters)),
        float(bare[:1].islower()),
        float(bare[-1:].isalnum()),
        min(exclamations, 4) / 2,
        float(exclamations > 1 and "!!" in text),
        min(questions, 4) / 2,
        float(questions > 0 and ("??" in text or "?!" in text or "!?" in text)),
        float(bare.endswith("?")),
        float(bare.endswith("!")),
        min(len(_ELLIPSIS.findall(text)), 3) / 2 if ".." in text or "…" in text else 0.0,
        min(len(_SCARE_QUOTES.findall(text)), 3) / 2 if quoted else 0.0,
        min(len(_QUOTATION.findall(text)), 2) if quoted else 0.0,
        float(signed and _HAPPY.search(text) is not None),
        float(signed and _SCORNFUL.search(text) is not None),
        float("#" in text),
        float(True in [piece.link for piece in found]),
        float("@" in text),
        min(sum([piece.number for piece in found]), 4) / 2,
        min(text.count("("), 3) / 2,
        min(text.count("\n"), 4) / 2,
        float("*" in text),
        math.log1p(sentences),
        math.log1p(count / sentences) / 3,
    ]


def _beside(place, others, before, after):
    """Whether one of the sorted places `others` lies from `before` words before to `after` words after."""
    return bisect_left(others, place - before) < bisect_right(others, place + after)


def _near(classes, words, text, put):
    none: list[int] = []
    insult, you, negation = (classes.get(name, none) for name in ("insult", "second_person", "negation"))
    they, positive, sarcasm = (classes.get(name, none) for name in ("third_person", "positive", "sarcasm"))
    scorn = sorted({*insult, *classes["contempt"]}) if "contempt" in classes else insult
    violence, animals = classes.get("violence", none), classes.get("dehumanising", none)
    if scorn or violence or animals:
        group = sorted({*classes.get("group", none), *classes.get("identity", none)})
        people = sorted({*group, *they, *you})
    if scorn:
        plain = [i for i in insult if not _beside(i, negation, 3, -1)]
        negated = [i for i in insult if _beside(i, negation, 3, -1)]
        put("plain_insult", float(bool(plain)), plain)
        put("negated_insult", float(bool(negated)), negated)
        for name, these, whom, before, after in (
            ("insult_to_you", plain, you, 5, 2),
            ("scorn_of_you", scorn, you, 5, 3),
            ("scorn_of_group", scorn, group, 6, 6),
            ("scorn_of_them", scorn, they, 6, 4),
            ("identity_scorned", insult, classes.get("identity", none), 4, 4),
        ):
            hits = [i for i in these if _beside(i, whom, before, after)] if whom else none
            put(name, float(bool(hits)), hits)
        called = [i for i in insult if i and words[i - 1] in _CALLING or i > 1 and words[i - 2] in _COPULA]
        put("called_insult", float(bool(called)), called)
        put("scorn_first", float(scorn[0] < 3), scorn[:1])
        put("scorn_twice", float(len(scorn) >= 2), scorn)
        put("scorn_often", float(len(scorn) >= 4), scorn)
        if insult and ('"' in text or "“" in text):
            quoted = set(_WORD.findall(" ".join(_SCARE_QUOTES.findall(text) + _QUOTATION.findall(text)).lower()))
            put("insult_quoted", float(any(words[i] in quoted for i in insult)))
    if violence:
        hits = [i for i in violence if _beside(i, people, 5, 5)]
        put("violence_to_people", float(bool(hits)), hits)
    if animals:
        hits = [i for i in animals if _beside(i, people, 5, 3)]
        put("dehumanising_of_people", float(bool(hits)), hits)
        called = [i for i in animals if i and words[i - 1] in _CALLING or i > 1 and words[i - 2] in _COPULA]
        put("called_dehumanising", float(bool(called)), called)
    if you and "profanity" in classes:
        hits = [i for i in classes["profanity"] if _beside(i, you, 4, 4)]
        put("profanity_to_you", float(bool(hits)), hits)
    if positive:
        put("praise_of_misfortune", float(bool(scorn or classes.get("misfortune"))), positive)
        put("praise_exclaimed", float("!" in text), positive)
        put("praise_asked", float("?" in text), positive)
        put("praise_first", float(positive[0] < 3), positive[:1])
        put("sarcastic_praise", float(bool(sarcasm)), positive)
        for name, whom, before, after in (("praise_of_you", you, 4, 4), ("praise_negated", negation, 3, -1)):
            hits = [i for i in positive if _beside(i, whom, before, after)]
            put(name, float(bool(hits)), hits)
    # "blah blah", "yeah yeah", "poor little Bob Bob"
    if True in map(eq, words, words[1:]):
        pairs = enumerate(itertools.pairwise(words), 1)
        twice = [place for place, (word, again) in pairs if word == again and len(again) > 2]
        put("word_twice", float(bool(twice)), twice)
    if sarcasm:
        put("sarcasm_first", float(sarcasm[0] == 0), sarcasm[:1])


_COPULA = frozenset(
    [
        "is",
        "are",
        "was",
        "were",
        "be",
        "you're",
        "he's",
        "she's",
        "they're",
        "what",
        "such",
        "like",
        "call",
        "called",
    ]
)
_CALLING = _COPULA | frozenset(
    [
        "you",
        "another",
        "these",
        "those",
        "fucking",
        "bloody",
        "damn",
        "stupid",
        "total",
        "complete",
        "absolute",
        "utter",
    ]
)


def _phrases(found, values, places):
    text = " ".join([piece.text for piece in found])
    starts, position = [], 0
    hits: dict[int, list[tuple[int, int]]] = {}
    for piece in found:
        starts.append(position)
        for place, some in piece.phrases:
            begin = position + place
            for cue, match in some:
                spans = hits.get(cue)
                if spans and begin < spans[-1][1]:
                    continue
                hit = match(text, begin)
                if hit:
                    hits.setdefault(cue, []).append(hit.span())
        position += len(piece.text) + 1
    for cue, spans in hits.items():
        values[cue] = min(len(spans), 3) / 1.5
        if places is not None:
            places[cue] = sorted(
                {
                    index
                    for begin, end in spans
                    for index in range(bisect_right(starts, begin) - 1, bisect_left(starts, end))
                }
            )


class Scaling(NamedTuple):
    """Brings the cues to unit spread, as seen in training.

    Attributes
    ----------
    mean, scale : ndarray of float64, shape (len(NAMES),)
    clip : float
        Largest value after scaling, so that one odd comment cannot outweigh its words.
    """

    mean: np.ndarray
    scale: np.ndarray
    clip: float = 4.0

    def __call__(self, values: np.ndarray) -> np.ndarray:
        # Half the time of numpy.clip, which counts where comments come one by one.
        return np.minimum(np.maximum((values - self.mean) / self.scale, -self.clip), self.clip)
