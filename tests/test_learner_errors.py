"""What a learner writes by mistake in a cell: each is one error of the course that says what to write instead."""

import pytest
import torch

from course_lib import Engine, EngineConfig, SamplingParams, check, hint, load_model, load_parts, predict, workbook
from course_lib.decoding import generate_cached, generate_naive
from course_lib.errors import CourseError
from course_lib.kvcache import ContiguousCache, KVPool, PagedCache, Recompute

LOADED = load_model("tale", device="cpu")
MODEL, TOKENIZER = LOADED
TOKEN, POSITION, SHORT = torch.tensor([50]), torch.arange(1), SamplingParams(max_tokens=2)


class Empty:
    """An allocator without any method."""

    def __init__(self, num_blocks, block_size):
        pass


class NoRoom(Empty):
    """An allocator that never has room."""

    def __init__(self, num_blocks, block_size):
        self.num_blocks, self.block_size, self.num_free = num_blocks, block_size, num_blocks

    allocate = fork = free = ref_count = lambda self, n=1: None


def engine(**more):
    return Engine(MODEL, EngineConfig(num_blocks=8, prefix_caching=False), **more)


MISTAKES = {
    "the pair of load_model": (lambda: generate_naive(LOADED, [50], SHORT), "model, tokenizer = load_model"),
    "the pair, cached": (lambda: generate_cached(LOADED, [50], SHORT), "model, tokenizer = load_model"),
    "the pair, engine": (lambda: Engine(LOADED), "model, tokenizer = load_model"),
    "arguments in another order": (lambda: generate_naive([50], MODEL, SHORT), "model is a list, not a model"),
    "text for ids": (lambda: generate_naive(MODEL, "Once upon", SHORT), "tokenizer.encode"),
    "no prompt": (lambda: generate_naive(MODEL, None, SHORT), "The prompt is None"),
    "an empty prompt": (lambda: generate_naive(MODEL, [], SHORT), "at least one token id"),
    "a batch dimension": (lambda: generate_naive(MODEL, torch.tensor([[50, 60]]), SHORT), "flat list of token ids"),
    "a number for params": (lambda: generate_naive(MODEL, [50], 5), "Pass SamplingParams"),
    "ids in a list": (lambda: MODEL([50], [0], Recompute()), "token_ids is a list.*torch.tensor"),
    "ids as floats": (lambda: MODEL(TOKEN.float(), POSITION, Recompute()), "token_ids is torch.float32"),
    "two dimensions": (lambda: MODEL(TOKEN[None], POSITION, Recompute()), "no batch dimension"),
    "other positions": (lambda: MODEL(TOKEN, torch.arange(3), Recompute()), "equally long"),
    "no cache": (lambda: MODEL(TOKEN, POSITION, None), "cache is a NoneType.*Recompute"),
    "the class of a cache": (lambda: MODEL(TOKEN, POSITION, Recompute), "the class Recompute, not an object"),
    "a small cache": (lambda: MODEL(TOKEN, POSITION, ContiguousCache(MODEL.config, 0)), "max_tokens"),
    "no text": (lambda: TOKENIZER.encode(None), "takes only text"),
    "nothing to decode": (lambda: TOKENIZER.decode(None), "takes a list of token ids"),
    "one id to decode": (lambda: TOKENIZER.decode(50), r"\[token_id\]"),
    "an unknown id": (lambda: TOKENIZER.decode([10**6]), "not in the vocabulary"),
    "one text for an engine": (
        lambda: engine(tokenizer=TOKENIZER).generate("Once", SHORT),
        r"brackets around it: \[text",
    ),
    "one prompt for an engine": (lambda: engine().generate([50, 60], SHORT), r"brackets around it: \[token_ids"),
    "None for an engine": (lambda: engine().generate(None, SHORT), "a list of prompts"),
    "text without a tokenizer": (lambda: engine().generate(["Once"], SHORT), "tokenizer=tokenizer"),
    "a number of blocks as text": (lambda: EngineConfig(num_blocks="3"), "whole number"),
    "an allocator without methods": (lambda: engine(allocator=Empty), "has no allocate"),
    "an allocator that returns None": (lambda: engine(allocator=NoRoom), "returned None"),
    "a model that is not there": (lambda: load_model("tail"), "Did you mean 'tale'"),
    "no model": (lambda: load_model(None), "does not name a model"),
    "blocks that were never allocated": (
        lambda: PagedCache(KVPool(MODEL.config, 4, 4, "cpu", torch.float32)).begin_step([], []),
        "at least one table",
    ),
    "an id that is not there": (lambda: check("greedy", max), "Did you mean 01.greedy"),
    "check the other way round": (lambda: check(max, "01.greedy"), "first argument is the exercise's id"),
    "a hint for a number": (lambda: hint(1), "first argument is the exercise's id"),
    "a part before it is passed": (lambda: workbook.load("04.allocator"), "not passed yet"),
    "no parts": (lambda: load_parts(), 'load_parts\\("04.allocator"'),
    "parts in a list": (lambda: load_parts(["01.greedy"]), "it is a list"),
    "another part than was loaded": (lambda: load_parts("01.greedy")["01.sample"], "load_parts.*'01.sample'"),
    "a guess without options": (lambda: predict("x", "?", []), "at least two"),
}


@pytest.mark.parametrize("act, words", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_error_that_says_what_to_write(act, words):
    with pytest.raises(CourseError, match=words):
        act()
