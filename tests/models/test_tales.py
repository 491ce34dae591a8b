"""The tales a tiny model learns from: rich, regular, and marked by a reader that misses nothing."""

import hashlib
import re
from collections import Counter
from itertools import pairwise

import pytest

from course_lib.models.training.tale_plots import FACTS
from course_lib.models.training.tale_plots_two import PLOTS
from course_lib.models.training.tale_voices import VOICES
from course_lib.models.training.tale_words import FRIEND_NAMES, HERO_NAMES, KINDS, LEXICONS, RIVAL_NAMES, WRITERS
from course_lib.models.training.tales import check_tale, make_tale

SHA256 = ("b7ed5d0f30f9b616", "1fab2f5f49f50d1f", "f4a612857650f038")


def sentences(text):
    return re.split(r'(?<=[.!?])\s+|(?<=[.!?]")\s+', text)


def tale_with(chapters, wanted):
    """The first tale of that length for which `wanted` holds."""
    return next(t for t in (make_tale(s, chapters=chapters) for s in range(500)) if wanted(t))


def rejected(text, *words):
    verdict = check_tale(text)
    assert not verdict.ok
    assert verdict.problem.startswith("Sentence ")
    for word in words:
        assert word in verdict.problem, verdict.problem


def test_a_seed_is_the_same_tale_everywhere():
    assert tuple(hashlib.sha256(make_tale(s).text.encode()).hexdigest()[:16] for s in range(3)) == SHA256


def test_two_thousand_tales_pass_their_reader():
    for seed in range(2000):
        verdict = check_tale(make_tale(seed).text)
        assert verdict.ok, (seed, verdict.problem)
    for chapters in range(1, 9):
        for seed in range(40):
            tale = make_tale(10_000 + seed, chapters=chapters)
            assert tale.chapters == chapters
            assert check_tale(tale.text).ok, (seed, chapters)


@pytest.mark.parametrize("chapters", [1, 3, 8])
def test_every_question_asks_what_was_told_once(chapters):
    for seed in range(120):
        tale = make_tale(seed, chapters=chapters)
        text = tale.text
        asked = set()
        for q in tale.questions:
            form = FACTS[q.kind]
            question = text[q.start : text.index("?", q.start) + 1]
            answer, fact = text[q.answer_start : q.answer_end], text[q.fact_start : q.fact_end]
            assert re.fullmatch(re.sub(r"\\{\w+\\}", ".+", re.escape(form.question)), question)
            assert text[q.answer_start - 1] == " " and text[q.answer_start - 2] != " "
            assert answer == answer.strip() and answer in LEXICONS[form.answer]
            assert re.search(rf"\b{answer}\b", fact) and fact[0].isupper() and fact.endswith(".")
            assert len(sentences(fact)) == 1
            assert q.fact_end < q.start < q.answer_start < q.answer_end
            for key in [w for w in re.findall(r"[\w-]+", question) if w in fact and (w.istitle() or w in NOUNS)]:
                if (form.keys[0] == "noun") != (key in NOUNS):
                    continue  # the hero's name is in many sentences, and leads to nothing
                before = text[: q.fact_start] + text[q.fact_end : q.start]
                again = [s for s in sentences(before) if has(s, key) and has(s, answer) and not s.endswith("?")]
                assert not again, (seed, again)
            assert question not in asked
            asked.add(question)
        assert 2 <= len(tale.questions)


NOUNS = {noun for plot in PLOTS for noun in plot.nouns}


def has(sentence, words):
    return re.search(rf"\b{re.escape(words)}\b", sentence) is not None


def test_no_other_step_of_a_plot_tells_a_fact_again():
    for plot in PLOTS:
        for told in (step for step in plot.steps if step.fact):
            form = FACTS[told.fact]
            for step in plot.steps:
                for way in step.ways:
                    way = way.replace("thing}", "noun}").replace("{a:", "{")
                    pair = "{" + form.answer + "}" in way and "{" + form.keys[0] + "}" in way
                    assert pair == (step is told), (plot.name, told.fact, way)


def test_no_list_shares_a_word_with_another_where_it_would_confuse():
    names = HERO_NAMES + FRIEND_NAMES + RIVAL_NAMES + WRITERS
    things = [w for plot in PLOTS for w in plot.nouns + plot.adjectives]
    for words in (names, things, *LEXICONS.values(), [v.name for v in VOICES], [p.name for p in PLOTS]):
        assert [w for w, n in Counter(words).items() if n > 1] == []
    for plot in PLOTS:
        assert not set(plot.trades) & set(plot.beasts)
        assert not set(KINDS) & set(plot.trades + plot.beasts), plot.name


def test_two_hundred_tales_are_two_hundred_stories():
    tales = [make_tale(seed) for seed in range(200)]
    assert len({t.text for t in tales}) == 200

    def opening(text):
        return next(way for v in VOICES for way in v.openings if text.startswith(re.split(r"\{|,", way)[0]))

    def plots(text):
        return tuple(p.name for p in PLOTS if any(has(text, f"{a} {n}") for a in p.adjectives for n in p.nouns))

    shapes = Counter((opening(t.text), plots(t.text)) for t in tales)
    assert len(shapes) > 150
    assert len({p for _, names in shapes for p in names}) == len(PLOTS) >= 16
    assert len(VOICES) >= 5 and sum(len(v.openings) for v in VOICES) >= 14


def test_lengths():
    lengths = Counter(make_tale(seed).chapters for seed in range(3000))
    assert 0.5 < lengths[1] / 3000 < 0.6 and min(lengths[n] for n in range(1, 9)) > 60
    one = [len(make_tale(s, chapters=1).text.split()) for s in range(200)]
    eight = [len(make_tale(s, chapters=8).text.split()) for s in range(200)]
    assert 100 <= min(one) and max(one) <= 300
    assert 1000 <= min(eight) and max(eight) <= 1350 and sum(eight) / 200 > 1100
    with pytest.raises(ValueError, match="1 to 8"):
        make_tale(0, chapters=9)


def test_the_print_is_plain():
    for seed in range(300):
        text = make_tale(seed).text
        assert text.isascii() and not re.search(r"[{}<>\d]|  |\n\n\n|[^\n]\n[^\n]| \n|\n ", text)
        assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n (?!hour)[^aeiou]", text)
        assert not re.search(
            r"\b(he|she|his|her)\b", re.sub("my sister.*|My sister.*|My grandmother.*|my grandmother.*", "", text)
        )
        doubled = set(re.findall(r"\b(\w+) \1\b", text)) - {"had"}
        assert not doubled, (seed, doubled)


def test_a_changed_name_is_rejected():
    tale = tale_with(3, lambda t: True)
    hero = next(n for n in HERO_NAMES if tale.text.count(n) > 4)
    other = next(n for n in HERO_NAMES if n not in tale.text)
    head, tail = tale.text[: len(tale.text) // 2], tale.text[len(tale.text) // 2 :]
    rejected(head + tail.replace(hero, other, 1), other, hero)


def test_a_changed_kind_is_rejected():
    def kind(t):
        return next((k for k in KINDS if t.text.count(f"the {k} ") > 0), None)

    tale = tale_with(1, kind)
    other = next(k for k in KINDS if k not in tale.text)
    rejected(tale.text.replace(f"the {kind(tale)} ", f"the {other} ", 1), f'"{other}" should be "{kind(tale)}"')


def test_a_wrong_answer_is_rejected_and_the_right_one_named():
    for chapters in (1, 8):
        for seed in range(30):
            tale = make_tale(seed, chapters=chapters)
            for q in tale.questions:
                right = tale.text[q.answer_start : q.answer_end]
                wrong = next(w for w in LEXICONS[FACTS[q.kind].answer] if w != right)
                rejected(tale.text[: q.answer_start] + wrong + tale.text[q.answer_end :], "the answer should be", right)


def test_a_question_about_something_never_told_is_rejected():
    tale = tale_with(1, lambda t: any(q.kind == "gave" for q in t.questions))
    start = next(q.start for q in tale.questions if q.kind == "gave")
    rejected(tale.text[:start] + tale.text[start:].replace("Who gave", "Who sold", 1), "Who sold", "told in this tale")


def test_a_question_asked_twice_is_rejected():
    tale = make_tale(3, chapters=1)
    question = tale.text[tale.questions[0].start :].split("\n\n")[0]
    end = tale.questions[0].start + len(question)
    rejected(tale.text[:end] + "\n\n" + question + tale.text[end:], "asked before")


def test_a_missing_chapter_is_rejected():
    text = make_tale(5, chapters=4).text
    two, three = text.index("Chapter two of four."), text.index("Chapter three of four.")
    rejected(text[:two] + text[three:], "Chapter three of four.", 'expected "Chapter two of four."')


def test_two_plots_mixed_are_rejected():
    text = make_tale(5, chapters=2).text.split("\n\n")
    two = text.index("Chapter two of two.")
    text[two - 1], text[-8 if len(text) - 8 > two else two + 1] = text[two + 1], text[two - 1]
    rejected("\n\n".join(text), "expected")


def test_no_plot_comes_twice():
    text = make_tale(5, chapters=2).text
    one, two = text.index("Chapter one of two."), text.index("Chapter two of two.")
    rejected(text[:two] + text[one:two].replace("one", "two", 1) + text[two:].split("\n\n", 2)[2])


@pytest.mark.parametrize("chapters", [1, 2, 6])
def test_swapped_repeated_missing_and_foreign_sentences_are_rejected(chapters):
    """Every sentence of a tale is where it must be; only an optional one may be left out."""
    for seed in range(12):
        tale = make_tale(seed, chapters=chapters)
        spans = [m.span() for m in re.finditer(r'\S.*?[.!?]"?(?=\s|$)', tale.text)]
        last_question = tale.questions[-1].start
        for (a, b), (c, d) in pairwise(spans):
            text = tale.text
            rejected(text[:b] + " " + text[a:b] + text[b:])
            rejected(text[:a] + "Suddenly a dragon appeared." + text[b:], "Suddenly a dragon")
            if d < last_question and '"' not in text[a:d]:
                rejected(text[:a] + text[c:d] + text[b:c] + text[a:b] + text[d:])


def test_truncated_text_is_rejected():
    text = make_tale(7, chapters=2).text
    for end in range(0, len(text), 7):
        assert not check_tale(text[:end]).ok
    assert "stops too early" in check_tale(text[: text.rindex("\n\n")]).problem
    assert not check_tale(text + " The end.").ok
    assert not check_tale("").ok
    assert not check_tale("\n\n" + text).ok
