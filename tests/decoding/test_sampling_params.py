"""SamplingParams: which values are refused and accepted, and that the parameters are plain values."""

import math

import pytest
import torch

from course_lib.decoding import SamplingParams, sample
from course_lib.decoding.sampling import seeded_generator
from course_lib.errors import ParameterError


@pytest.mark.parametrize(
    "field, value",
    [
        *[("temperature", v) for v in (-1, -1e-9, 10**400, math.nan, math.inf, -math.inf, True, "0.8", None, [1], 1j)],
        *[("top_k", v) for v in (0, -1, 2**31, 1.0, 2.5, math.nan, True, "5", [3])],
        *[("top_p", v) for v in (0, 0.0, -0.1, 1.1, math.nan, math.inf, True, "0.9", None)],
        *[("max_tokens", v) for v in (-1, 1.0, math.nan, math.inf, True, "10", None)],
        *[("seed", v) for v in (-1, 1.5, True, "1", 2**63, math.nan)],
        *[("ignore_eos", v) for v in (1, "no", None)],
        *[("stop_token_ids", v) for v in (5, "ab", None, (-1,), (1.0,), ("a",), (True,), (None,))],
        *[("n", v) for v in (0, -1, 1.0, True, "2", None)],
        *[("stop", v) for v in (5, None, "", ("",), (5,), {"a"})],
    ],
)
def test_a_bad_value_is_refused_with_field_value_and_next_step(field, value):
    with pytest.raises(ParameterError) as caught:
        SamplingParams(**{field: value})
    message = str(caught.value)
    shown = value if field != "stop_token_ids" or not isinstance(value, list) else tuple(value)
    assert message.startswith(f"{field} is {shown!r}, but ")
    assert ". Try " in message and message.endswith(".")


def test_a_bad_parameter_is_a_value_error_too():
    with pytest.raises(ValueError):
        SamplingParams(top_p=2)


@pytest.mark.parametrize(
    "good",
    [
        dict(temperature=0),
        dict(temperature=0.8),
        dict(temperature=5e-324),
        dict(top_k=1),
        dict(top_k=10**9),
        dict(top_k=None),
        dict(top_p=1),
        dict(top_p=1e-9),
        dict(max_tokens=0),
        dict(seed=0),
        dict(seed=2**63 - 1),
        dict(stop_token_ids=[]),
        dict(stop_token_ids=[3, 4]),
        dict(ignore_eos=True),
        dict(n=3),
        dict(stop="a"),
        dict(stop=["a", "b"]),
    ],
)
def test_an_edge_that_makes_sense_is_accepted(good):
    params = SamplingParams(**good)
    sample(torch.zeros(4), params, seeded_generator(params, "cpu"))


def test_stop_ids_become_a_tuple_of_their_own():
    given = [3, 4]
    params = SamplingParams(stop_token_ids=given)
    given.append(5)
    assert params.stop_token_ids == (3, 4)
    assert hash(params) == hash(SamplingParams(stop_token_ids=(3, 4)))


def test_numbers_of_numpy_are_taken_and_made_plain():
    np = pytest.importorskip("numpy")
    params = SamplingParams(
        temperature=np.float32(0.5),
        top_k=np.int64(3),
        max_tokens=np.int32(7),
        seed=np.uint8(4),
        stop_token_ids=np.array([1, 2]),
    )
    assert params == SamplingParams(temperature=0.5, top_k=3, max_tokens=7, seed=4, stop_token_ids=(1, 2))
    assert type(params.top_k) is int and type(params.temperature) is float


def test_vllms_minus_one_is_told_its_name_here():
    with pytest.raises(ParameterError, match=r"None for all tokens \(vLLM's -1 and 0\)"):
        SamplingParams(top_k=-1)


@pytest.mark.parametrize("given", [b"ab", {1: 2}, "12"])
def test_what_only_looks_like_token_ids_is_refused(given):
    with pytest.raises(ParameterError, match="stop_token_ids"):
        SamplingParams(stop_token_ids=given)
