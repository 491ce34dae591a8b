"""Lengths: their distributions, files of them, and the named sets."""

import math

import numpy as np
import pytest

from course_lib.errors import ParameterError
from course_lib.workload import LENGTH_SETS, Fixed, Lengths, LogNormal, RecordedLengths, Uniform
from course_lib.workload.length_sets import length_set


def drawn(lengths, n=20_000, seed=0):
    generator = np.random.default_rng(seed)
    return np.array([lengths.draw(generator) for _ in range(n)])


def test_fixed_and_uniform_lengths():
    assert set(drawn(Fixed(7), 10)) == {7}
    values = drawn(Uniform(3, 6))
    assert set(values) == {3, 4, 5, 6} and np.bincount(values)[3:].min() > 4700


def test_log_normal_lengths_have_the_given_median_spread_and_bounds():
    values = drawn(LogNormal(median=200, sigma=0.5))
    assert np.median(values) == pytest.approx(200, rel=0.02)
    assert np.log(values).std() == pytest.approx(0.5, rel=0.03)
    assert values.mean() == pytest.approx(200 * math.exp(0.125), rel=0.03)  # the mean lies above the median
    cut = drawn(LogNormal(median=200, sigma=2.0, low=50, high=300))
    assert cut.min() == 50 and cut.max() == 300


def test_lengths_from_a_file_keep_their_pairs(tmp_path):
    path = tmp_path / "lengths.csv"
    path.write_text("prompt_tokens,output_tokens,note\n10,1,x\n20,2,y\n30,3,z\n")
    pairs = drawn(RecordedLengths(path), 300)
    assert {tuple(pair) for pair in pairs.tolist()} == {(10, 1), (20, 2), (30, 3)}
    path.write_text("prompt_tokens,output_tokens\n10,1\n20,\n")
    with pytest.raises(ParameterError, match="line 3, has no output_tokens"):
        RecordedLengths(path)
    path.write_text("prompt_tokens,output_tokens\n")
    with pytest.raises(ParameterError, match="no rows"):
        RecordedLengths(path)


@pytest.mark.parametrize("name", LENGTH_SETS)
def test_named_sets_are_described_and_scale(name):
    lengths = length_set(name)
    values = drawn(lengths, 4000)
    assert len(lengths.about) > 40 and values.min() >= 1 and values.sum(1).max() <= 16_384
    small = drawn(lengths.scaled(1 / 8), 4000)
    assert small.mean(0) == pytest.approx(values.mean(0) / 8, rel=0.15) and small.min() >= 1


def test_the_named_sets_have_the_shapes_that_they_are_named_after():
    mean = {name: drawn(lengths, 4000).mean(0) for name, lengths in LENGTH_SETS.items()}
    ratio = {name: prompt / output for name, (prompt, output) in mean.items()}
    assert ratio["chat"] < 3 < ratio["batch"] < ratio["retrieval"] and ratio["code_completion"] > 30
    assert mean["retrieval"][0] == max(prompt for prompt, _ in mean.values())
    with pytest.raises(ParameterError, match="chat, code_completion, retrieval, batch"):
        length_set("chatt")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Fixed(0),
        lambda: Fixed(True),
        lambda: Uniform(5, 4),
        lambda: LogNormal(0, 1),
        lambda: LogNormal(9, -1),
        lambda: LogNormal(9, 1, low=5, high=4),
        lambda: Lengths(Fixed(1), Fixed(1)).scaled(0),
    ],
)
def test_impossible_lengths_are_refused(make):
    with pytest.raises(ParameterError, match="Try"):
        make()
