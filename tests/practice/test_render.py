"""HTML: well formed, escaped, readable without its style, one palette with the views."""

import re
from html.parser import HTMLParser

import pytest

from course_lib import check, hint, progress, solution
from course_lib.practice.lessons.l00.hello import hello
from course_lib.practice.predict import still
from course_lib.practice.report import render

VOID = {"path", "br"}


class Page(HTMLParser):
    """Collects tags and text; fails on a tag that is not closed in its place."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.words, self.classes = [], [], [], set()
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.classes |= set(dict(attributes).get("class", "").split())
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def nasty(name):
    print("<script>alert('printed')</script>")
    return f"<img src=x onerror=alert(1)> & `{name}`"


def raises(name):
    raise ValueError("</pre><script>alert(1)</script>")


EVERYTHING = [
    lambda: check("00.hello", hello),
    lambda: check("00.hello", nasty),
    lambda: check("00.hello", raises),
    lambda: check("00.hello", 3),
    lambda: hint("00.hello"),
    lambda: [hint("00.hello") for _ in range(4)][-1],
    lambda: solution("01.sample"),
    progress,
]


@pytest.mark.parametrize("make", EVERYTHING)
def test_it_is_well_formed_and_every_class_is_ours(make):
    page = Page(make()._repr_html_())
    assert page.classes and all(c == "cl" or c.startswith("cl-ck") for c in page.classes)
    assert not {"script", "img", "link"} & set(page.tags)


def test_what_learners_write_is_shown_and_never_run():
    for wrong, words in (
        (nasty, "<img src=x onerror=alert(1)> & `Al`"),
        (nasty, "<script>alert('printed')</script>"),
        (raises, "</pre><script>"),
    ):
        html = check("00.hello", wrong)._repr_html_()
        assert "<script" not in html and "<img" not in html
        assert words in "".join(Page(html).words)


def test_marks_have_their_meaning_as_text():
    text = Page(check("01.greedy", lambda logits: len(logits) - 1 - int(logits.flip(0).argmax()))._repr_html_()).text
    assert text.startswith("failed: 01.greedy 2 of 6 hold · 3 not reached holds: It returns a plain Python int")
    assert "fails: Among equal logits, the lowest id is returned" in text and "not reached: The caller's logits" in text
    assert "Looks like: the last id among equals is taken." in text


def test_the_same_result_gives_the_same_html():
    assert check("00.hello", nasty)._repr_html_() == check("00.hello", nasty)._repr_html_()


def test_the_tokens_are_the_views():
    style = render.style()
    assert style.count("--cl-ink:") == 2 and style.count("--cl-card:") == 2  # light and dark, from viz/theme.css
    used = set(re.findall(r"var\((--cl-[\w-]+)", style))
    assert used <= set(re.findall(r"(--cl-[\w-]+):", style))


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return sum(
        w * (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4)
        for w, c in zip((0.2126, 0.7152, 0.0722), parts)
    )


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read(theme):
    style = render.style()

    def colour(name):
        return re.findall(rf"--cl-{name}: (?:var\([^#;]*)?(#[0-9a-f]{{6}})", style)[theme]

    for text, ground in [
        ("ink", "card"),
        ("soft", "card"),
        ("ink", "ck-bad-ground"),
        ("ck-bad", "ck-bad-ground"),
        ("soft", "ck-bad-ground"),
        ("ink", "well"),
        ("soft", "well"),
    ]:
        assert contrast(colour(text), colour(ground)) >= 4.5, (text, ground)
    for mark in ("ck-good", "ck-bad"):
        assert contrast(colour(mark), colour("card")) >= 3 and contrast(colour(mark), colour("ck-on")) >= 3


def test_a_guess_without_a_kernel_is_a_question_with_its_options():
    page = Page(still("How many <rows>?", ["one", "`n`"]))
    assert page.text == "Guess. How many <rows>? one n" and page.tags.count("li") == 2
