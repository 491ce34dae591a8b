"""More wrong answers to lessons 12 to 15 by people who never saw the checks; see written_otherwise.py."""

import random

import torch
from written_speculative import sample_by_running_total

from course_lib.practice.lessons.l13.solutions.pick_tiles import pick_tiles


def accept_in_float32(target, draft, drafted, chances):
    p, q = (torch.tensor([row[x] for row, x in zip(rows, drafted)]) for rows in (target, draft))
    return int((torch.tensor(chances) < p / q).long().cumprod(0).sum())


def accept_argmin(target, draft, drafted, chances):
    good = [chance < p[x] / q[x] for p, q, x, chance in zip(target, draft, drafted, chances)]
    return min(range(len(good)), key=good.__getitem__, default=0)


def sample_by_choices(target, draft, drafted, chances, last):
    kept = sample_by_running_total(target, draft, drafted, chances, last)[:-1]
    left = target[len(kept)]
    if len(kept) < len(drafted):
        left = [max(0.0, p - q) for p, q in zip(left, draft[len(kept)])]
    return [*kept, random.choices(range(len(left)), left)[0]]


def sample_keeps_it(target, draft, drafted, chances, last):
    found = sample_by_running_total(target, draft, drafted, chances, last)
    return [*drafted[: len(found)], found[-1]]


def propose_in_joined_text(token_ids, k, longest, shortest):
    text = "," + ",".join(map(str, token_ids))
    for n in range(min(longest, len(token_ids) - 1), shortest - 1, -1):
        at = text.rfind(",".join(map(str, token_ids[-n:])), 0, len(text) - 1)
        if at >= 0:
            return token_ids[text[:at].count(",") - 1 + n :][:k]
    return []


def propose_full_only(token_ids, k, longest, shortest):
    size = len(token_ids)
    for n in range(min(longest, size - 1), shortest - 1, -1):
        ends = [end for end in range(n, size - k + 1) if token_ids[end - n : end] == token_ids[size - n :]]
        if ends and ends[-1] < size:
            return token_ids[ends[-1] :][:k]
    return []


def best_in_float32(acceptance, draft_cost, verify_costs):
    ks = torch.arange(len(verify_costs))
    gains = torch.cumsum(torch.tensor(float(acceptance)) ** ks, 0) / (ks * draft_cost + torch.tensor(verify_costs))
    return int(gains.argmax()), float(gains.max())


def tiles_of_16(head_dim, itemsize, shared_memory, sms, query_lens, num_heads, stages=2):
    """tl.dot wants 16 at least, but head_dim only has to be a power of two."""
    return pick_tiles(max(16, head_dim), itemsize, shared_memory, sms, query_lens, num_heads, stages)


CASES = {
    "13.pick_tiles": [("small head_dim", tiles_of_16)],
    "15.accept": [("ratio is rounded", accept_in_float32), ("looked for all the same", accept_argmin)],
    "15.rejection_sample": [("not drawn by `last`", sample_by_choices), ("rejected draft is kept", sample_keeps_it)],
    "15.ngram": [("compared as text", propose_in_joined_text), ("its run is passed over", propose_full_only)],
    "15.when_it_pays": [("go through float32", best_in_float32)],
}
