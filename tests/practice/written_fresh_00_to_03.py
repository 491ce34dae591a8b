"""Wrong answers to lessons 00 to 03 that passed, or had no name, when somebody wrote them from the pages alone."""

import random
import re
import unicodedata

import torch

from course_lib.errors import CacheFull
from course_lib.kvcache import ContiguousCache, Recompute
from course_lib.practice.lessons.l00.solutions.hello import hello
from course_lib.practice.lessons.l02.solutions.cache import ContiguousCache as RightCache
from course_lib.practice.lessons.l02.solutions.generate_cached import generate_cached


def hello_single_spaces(name):
    return " ".join(hello(name).split())


def hello_normal(name):
    return hello(unicodedata.normalize("NFC", name))


def hello_by_pattern(name):
    return re.sub("Juniper", name, hello("Juniper"))


def hello_formatted_late(name):
    return hello(name).format()


def greedy_any(logits):
    return random.choice((logits == logits.max()).nonzero().flatten().tolist())


def greedy_no_infinities(logits):
    logits[logits == -torch.inf] = -1e9
    return int(logits.argmax())


def sample_with(shape):
    def answer(logits, temperature, top_k, top_p, draw):
        if temperature == 0:
            return int(logits.argmax())
        return draw(shape(logits, temperature, top_k, top_p))

    return answer


def cut(logits, temperature, top_k, top_p):
    p, order = (logits / temperature).softmax(-1).sort(descending=True, stable=True)
    p = p * (torch.arange(len(p)) < (len(p) if top_k is None else top_k))
    p = p / p.sum()
    sums = p.cumsum(0)
    before = torch.cat([torch.zeros(1), sums[:-1]])
    p = p * (before < (2.0 if top_p is None else top_p))
    return torch.zeros(len(p)).scatter(0, order, p / p.sum())


def sample_nearly_zero(logits, temperature, top_k, top_p, draw):
    if temperature < 0.01:
        return logits.argmax().item()
    return draw(cut(logits, temperature, top_k, top_p))


def sample_not_so_cold(logits, temperature, top_k, top_p, draw):
    if temperature == 0:
        return logits.argmax().item()
    return draw(cut(logits, max(temperature, 0.02), top_k, top_p))


def generate_all_then_cut(model, token_ids, max_tokens, stop_token_ids=()):
    ids = list(token_ids)
    for _ in range(max_tokens):
        ids.append(int(model(torch.tensor(ids), torch.arange(len(ids)), Recompute())[-1].argmax()))
    new = ids[len(token_ids) :]
    for place, token in enumerate(new):
        if token in stop_token_ids:
            return new[: place + 1]
    return new


def work_in_32_bits(prompt_tokens, new_tokens):
    m = torch.arange(prompt_tokens, prompt_tokens + new_tokens, dtype=torch.int32)
    return int(m.sum(dtype=torch.int32)), int((m * (m + 1) // 2).sum(dtype=torch.int32))


class CacheCountsFirst(ContiguousCache):
    """Raises num_tokens in the first layer."""

    def __init__(self, config, max_tokens):
        super().__init__(config, max_tokens, device="cpu", dtype=torch.float32)
        self.at = 0

    def attend(self, layer, q, k, v):
        if layer == 0:
            self.at = self.num_tokens
        self.num_tokens = self.at
        try:
            return super().attend(layer, q, k, v)
        finally:
            self.num_tokens = self.at + len(k) if self.at + len(k) <= self.max_tokens else self.at


class CacheFullAtTheEnd(RightCache):
    def attend(self, layer, q, k, v):
        room = self.k.shape[1] - self.num_tokens
        if len(k) > room and layer == len(self.k) - 1:
            raise CacheFull("full")
        return (
            super().attend(layer, q[:room], k[:room], v[:room])
            if layer < len(self.k) - 1
            else super().attend(layer, q, k, v)
        )


class CacheOneBuffer(RightCache):
    def attend(self, layer, q, k, v):
        out = super().attend(layer, q, k, v)
        if not hasattr(self, "out"):
            self.out = torch.empty(64, *out.shape[1:])
        self.out[: len(out)] = out
        return self.out[: len(out)]


def loop_prompt_end_again(model, token_ids, max_tokens, cache):
    if max_tokens:
        model(torch.tensor(token_ids), torch.arange(len(token_ids)), cache)
    new, newest = [], token_ids[-1]
    for place in range(len(token_ids), len(token_ids) + max_tokens):
        newest = int(model(torch.tensor([newest]), torch.tensor([place]), cache)[-1].argmax())
        new.append(newest)
    return new


def loop_from_the_second(model, token_ids, max_tokens, cache):
    return generate_cached(model, token_ids, max_tokens + 1, cache)[1:] if max_tokens else []


def turns_shortest_first(model, prompts, max_tokens, cache):
    return [cache.reset() or generate_cached(model, p, max_tokens, cache) for p in sorted(prompts, key=len)]


def turns_in_one_list(model, prompts, max_tokens, cache):
    new, turns = [], []
    for prompt in prompts:
        cache.reset()
        new[:] = generate_cached(model, prompt, max_tokens, cache)
        turns.append(new)
    return turns


def turns_by_prompt(model, prompts, max_tokens, cache):
    turns = {}
    for prompt in prompts:
        cache.reset()
        turns[tuple(prompt)] = generate_cached(model, prompt, max_tokens, cache)
    return list(turns.values())


def budget_last_by_name(budget, sizes, users, tokens):
    for name, size in sizes.items():
        if users * tokens * size <= budget:
            return name, users, tokens
    name = max(sizes)
    slots = budget // sizes[name]
    return (name, slots // tokens, tokens) if slots >= tokens else (name, 1, slots) if slots > 0 else None


CASES = {
    "00.hello": [
        ("spaces inside the name", hello_single_spaces),
        ("look the same", hello_normal),
        (None, hello_by_pattern),
        (None, hello_formatted_late),
    ],
    "01.greedy": [("or on chance", greedy_any), ("logits are changed", greedy_no_infinities)],
    "01.sample": [
        ("keep a small probability", sample_with(lambda *how: cut(*how).clamp(min=1e-8))),
        ("treated as 0", sample_nearly_zero),
        ("raised to a higher one", sample_not_so_cold),
    ],
    "01.generate": [("goes on after a stop token", generate_all_then_cut)],
    "01.count_work": [(None, work_in_32_bits)],
    "02.cache": [
        ("before the last layer", CacheCountsFirst),
        (None, CacheFullAtTheEnd),
        ("written over by the next", CacheOneBuffer),
    ],
    "02.generate_cached": [
        ("prompt is computed twice", loop_prompt_end_again),
        ("prefill gives is left out", loop_from_the_second),
    ],
    "02.reuse": [
        ("another order than the prompts", turns_shortest_first),
        ("one and the same list", turns_in_one_list),
        ("one sequence together", turns_by_prompt),
    ],
    "03.fit_a_budget": [("looked up by its name", budget_last_by_name)],
}
