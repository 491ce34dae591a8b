"""A tile is told from its corners; held against every pair in it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.attention.reference.masks import ALL, NONE, SOME, Mask
from course_lib.errors import ParameterError


@st.composite
def masks(draw):
    window = draw(st.none() | st.integers(1, 12))
    if draw(st.booleans()):
        return Mask(draw(st.booleans()), window, None, draw(st.integers(-3, 9)))
    edges = [0, *sorted(draw(st.lists(st.integers(0, 16), max_size=5))), 16]
    return Mask(draw(st.booleans()), window, tuple(edges))


@given(masks(), st.integers(0, 15), st.integers(0, 6), st.integers(0, 15), st.integers(0, 6))
@settings(max_examples=400, deadline=None)
def test_a_tile_is_what_its_pairs_are(mask, r, height, c, width):
    rows, cols = (r, min(16, r + height)), (c, min(16, c + width))
    seen = mask.sees(rows, cols)
    want = NONE if not seen.any() else ALL if seen.all() else SOME
    assert mask.tile(rows, cols) == want


def test_literal_tiles():
    assert Mask().tile((0, 2), (2, 4)) == NONE  # above the diagonal
    assert Mask().tile((0, 2), (0, 2)) == SOME  # on it
    assert Mask().tile((2, 4), (0, 2)) == ALL  # below it
    assert Mask(window=2).tile((4, 6), (0, 3)) == NONE  # out of the window
    assert Mask(cu_seqlens=(0, 3, 6)).tile((3, 5), (0, 3)) == NONE  # another document
    assert Mask(causal=False).tile((0, 2), (2, 4)) == ALL
    assert Mask(start=2).tile((0, 2), (2, 4)) == SOME  # two keys were there before the first query


def test_a_window_of_three_sees_itself_and_two_before():
    assert Mask(window=3).sees((4, 5), (0, 6)).tolist() == [[False, False, True, True, True, False]]


@pytest.mark.parametrize(
    "options",
    [
        {"window": 0},
        {"window": 1.5},
        {"causal": None},
        {"cu_seqlens": (1, 4)},
        {"cu_seqlens": (0,)},
        {"cu_seqlens": (0, 4, 2)},
    ],
    ids=str,
)
def test_a_mask_that_makes_no_sense_is_refused(options):
    with pytest.raises(ParameterError):
        Mask(**options)
