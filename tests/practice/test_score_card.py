"""The score board as a card: what stands on it, both files, and names that are refused."""

import json

import pytest

from course_lib.errors import CourseError, ParameterError
from course_lib.practice.assembly.assemble import Score, ScoreBoard
from course_lib.practice.report import score_card

SCORES = [
    Score("naive", "slow", ("01.generate",), 4.0, 10.0, 1_000_000),
    Score("cached", "keeps", ("02.cache",), 1.0, 40.0, 2_500_000),
    Score("paged", "in blocks", ("04.allocator",), problem="IndexError: no such block"),
]
PARTS = {"01.generate": "", "02.cache": "not passed yet", "04.allocator": "not passed yet"}


def board(scores):
    return ScoreBoard("tale", "a laptop, 2 CPU threads", "2026-11-30T20:00:00", 4, 90, 1040, PARTS, scores)


@pytest.mark.parametrize("name, begins", [("card.svg", b"<?xml"), ("card.png", b"\x89PNG")])
def test_a_card_is_a_picture_and_the_numbers_beside_it(tmp_path, name, begins):
    made = board(SCORES)
    picture, data = made.card(tmp_path / name)
    assert picture.read_bytes().startswith(begins) and data == tmp_path / "card.json"
    assert json.loads(data.read_text()) == json.loads(json.dumps(made.as_dict()))


def test_a_card_says_the_machine_whose_parts_and_whether_the_tokens_are_right():
    title, about, parts, right = score_card.words(board(SCORES[:2]))
    assert "a laptop, 2 CPU threads" in about and "1,040 new tokens" in about and about.endswith("2026-11-30")
    assert parts == "1 of 3 parts are the learner's own: 01.generate" and right.startswith("Every token")
    assert score_card.words(board(SCORES))[3] == "Not with the tokens of generate_naive: paged"
    drawn = [text.get_text() for text in score_card.drawn(board(SCORES)).axes[0].texts]
    for said in (title, about, "naive", "40", "4.0", "2.5 MB", "1 of 1", "0 of 1", "–"):
        assert said in drawn


def test_a_name_that_is_no_cards_and_a_folder_that_is_not_there_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ParameterError, match="Try card.svg"):
        score_card.check_card("card.pdf")
    with pytest.raises(ParameterError, match="no folder"):
        score_card.check_card(tmp_path / "nowhere" / "card.svg")
    for name in ("one.svg", "two.json"):
        (tmp_path / name).mkdir()
        with pytest.raises(ParameterError, match="No file can be written"):
            score_card.check_card((tmp_path / name).with_suffix(".svg"))

    def full(path, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(score_card, "write_whole", full)
    with pytest.raises(CourseError, match="could not be written.*No space"):
        board(SCORES).card(tmp_path / "card.svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.svg", "two.json"]
