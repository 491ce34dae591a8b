"""generate_cached: token for token what generate_naive writes, with every token computed once."""

import sys
from pathlib import Path

import pytest
import torch

from course_lib import load_model
from course_lib.decoding import SamplingParams, generate_cached, generate_naive
from course_lib.errors import CacheFull, ParameterError
from course_lib.kvcache import ContiguousBatch, ContiguousCache, Recompute
from course_lib.models.weights import load_transformer, read_config

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from checkpoints import FAMILIES, reference, save  # noqa: E402


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """A small random model of a family; each made once."""
    made = {}

    def get(name):
        if name not in made:
            folder = save(reference(name), tmp_path_factory.mktemp("checkpoint"))
            made[name] = load_transformer(folder, read_config(folder), torch.device("cpu"), torch.float32)
        return made[name]

    return get


def draws(model, count, longest=40):
    """(prompt, params): random prompts of random lengths; greedy and sampled ones in turn."""
    draw = torch.Generator().manual_seed(3)

    def number(low, high):
        return int(torch.randint(low, high + 1, (1,), generator=draw))

    for turn in range(count):
        longest_here = min(longest, model.config.context - 12)
        prompt = torch.randint(0, model.config.vocab_size, (number(1, longest_here),), generator=draw).tolist()
        how = {} if turn % 3 else dict(temperature=1.1, top_k=40, top_p=0.95, seed=turn)
        yield prompt, SamplingParams(max_tokens=number(0, 12), ignore_eos=turn % 2 == 0, **how)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_writes_what_the_oracle_writes(family, name):
    model = family(name)
    kept = ContiguousCache(model.config, 64, device="cpu", dtype=torch.float32)  # one for all texts, after reset()
    long = 0
    for prompt, params in draws(model, 30):
        right = generate_naive(model, prompt, params)
        assert generate_cached(model, prompt, params) == right
        kept.reset()
        assert generate_cached(model, prompt, params, kept) == right
        assert kept.num_tokens == (len(prompt) + len(right) - 1 if right else 0)
        long += len(right) > 5
    assert long > 5, "hardly any text was long enough to test decoding"


def test_the_bundled_model_tells_the_same_tale():
    model, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
    prompt = tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter named Juniper.")
    for params in (SamplingParams(max_tokens=120), SamplingParams(max_tokens=60, temperature=0.9, top_p=0.9, seed=4)):
        assert generate_cached(model, prompt, params) == generate_naive(model, prompt, params)


def test_a_batch_writes_what_each_would_write_alone(family):
    model = family("llama3")
    prompts = [p for p, _ in draws(model, 5)]
    right = [generate_naive(model, p, SamplingParams(max_tokens=8, ignore_eos=True)) for p in prompts]
    kept = ContiguousBatch(model.config, 5, 64, device="cpu", dtype=torch.float32)
    ids, wanted, new = list(prompts), [8, 3, 8, 5, 8], [[] for _ in prompts]
    with torch.inference_mode():
        while any(len(n) < w for n, w in zip(new, wanted)):
            live = [i for i in range(5) if len(new[i]) < wanted[i]]  # some end before the others
            counts = [len(ids[i]) for i in live]
            positions = kept.begin_step(live, counts)
            logits = model(
                torch.tensor([t for i in live for t in ids[i]]),
                positions,
                kept,
                logits_for=torch.tensor(counts).cumsum(0) - 1,
            )
            for i, row in zip(live, logits):
                new[i].append(int(row.argmax()))
                ids[i] = new[i][-1:]
    assert new == [r[:w] for r, w in zip(right, wanted)]


class CountsTokens:
    """Stands before a cache and notes the tokens of each step; has attend alone, as a learner's cache may."""

    def __init__(self, cache):
        self.cache, self.computed = cache, []

    def attend(self, layer, q, k, v):
        if layer == 0:
            self.computed.append(len(q))
        return self.cache.attend(layer, q, k, v)


def test_the_prompt_goes_in_once_then_one_token_a_step_and_the_last_never(family):
    model = family("qwen3")
    door = CountsTokens(ContiguousCache(model.config, 7 + 5 - 1, device="cpu", dtype=torch.float32))
    generate_cached(model, [3, 1, 4, 1, 5, 9, 2], SamplingParams(max_tokens=5, ignore_eos=True), door)
    assert door.computed == [7, 1, 1, 1, 1]


class Growing:
    """A cache as anybody would write it first: nothing but attend."""

    def __init__(self):
        self.k, self.v = {}, {}

    def attend(self, layer, q, k, v):
        self.k[layer] = torch.cat([self.k[layer], k]) if layer in self.k else k
        self.v[layer] = torch.cat([self.v[layer], v]) if layer in self.v else v
        keys, values = (x[layer].repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (self.k, self.v))
        scores = torch.einsum("qhd,khd->hqk", q, keys) / q.shape[2] ** 0.5
        seen = torch.ones(len(q), len(keys), dtype=torch.bool).tril(len(keys) - len(q))
        return torch.einsum("hqk,khd->qhd", scores.masked_fill(~seen, -torch.inf).softmax(-1), values)


def test_a_cache_that_somebody_wrote_goes_through_the_same_door(family):
    model = family("llama biased")
    for prompt, params in draws(model, 10):
        assert generate_cached(model, prompt, params, Growing()) == generate_naive(model, prompt, params)


def test_a_cache_that_still_holds_a_text_is_refused(family):
    model = family("llama2")
    kept = ContiguousCache(model.config, 40, device="cpu", dtype=torch.float32)
    generate_cached(model, [5, 6], SamplingParams(max_tokens=3, ignore_eos=True), kept)
    with pytest.raises(ParameterError, match="holds 4 tokens of another sequence.*Call cache.reset\\(\\) first"):
        generate_cached(model, [7, 8], SamplingParams(max_tokens=3), kept)
    assert kept.num_tokens == 4


def test_what_is_no_cache_is_refused(family):
    model = family("llama2")
    for cache, words in (
        (Recompute(), "keeps nothing between steps"),
        (ContiguousCache, "is a class"),
        ({}, "has no attend"),
    ):
        with pytest.raises(ParameterError, match=words):
            generate_cached(model, [1, 2], SamplingParams(max_tokens=2), cache)


def test_a_cache_that_is_too_small_says_so_and_one_that_just_fits_fits(family):
    model, params = family("llama2"), SamplingParams(max_tokens=5, ignore_eos=True)
    right = generate_naive(model, [4, 5, 6], params)
    assert generate_cached(model, [4, 5, 6], params, ContiguousCache(model.config, 7, device="cpu")) == right
    with pytest.raises(CacheFull, match="holds 6 tokens and was asked to take 1 more"):
        generate_cached(model, [4, 5, 6], params, ContiguousCache(model.config, 6, device="cpu"))


def test_a_bad_prompt_is_refused_as_by_the_naive_loop(family):
    model = family("llama2")
    for prompt, words in (([], "prompt is empty"), ([97], "outside the vocabulary"), ([1] * 510, "need 513 positions")):
        with pytest.raises(ParameterError, match=words):
            generate_cached(model, prompt, SamplingParams(max_tokens=3))
    prompt = [1, 2]
    generate_cached(model, prompt, SamplingParams(max_tokens=3))
    assert prompt == [1, 2] and generate_cached(model, prompt, SamplingParams(max_tokens=0)) == []
