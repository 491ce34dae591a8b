"""More wrong answers to lessons 09 to 15 by people who never saw the checks; see written_otherwise.py."""

import random

import torch
from written_speculative import sample_by_running_total

from course_lib.practice.lessons.l09.solutions.intensity import intensity
from course_lib.practice.lessons.l10.solutions.step import step
from course_lib.practice.lessons.l13.solutions.bandwidth_use import bandwidth_use
from course_lib.practice.lessons.l13.solutions.pick_tiles import pick_tiles
from course_lib.practice.lessons.l15.solutions.when_it_pays import best_k


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


def best_to_four_digits(acceptance, draft_cost, verify_costs):
    k, speedup = best_k(acceptance, draft_cost, verify_costs)
    return k, round(speedup, 4)


def tiles_of_16(head_dim, itemsize, shared_memory, sms, query_lens, num_heads, stages=2):
    """tl.dot wants 16 at least, but head_dim only has to be a power of two."""
    return pick_tiles(max(16, head_dim), itemsize, shared_memory, sms, query_lens, num_heads, stages)


def intensity_to_three_digits(model, seq_lens, flops_per_s, bytes_per_s):
    return {name: round(x, 3) for name, x in intensity(model, seq_lens, flops_per_s, bytes_per_s).items()}


def share_to_four_digits(*given):
    found = bandwidth_use(*given)
    return found | {"share": round(found["share"], 4)}


def running_at_most(waiting, running, num_blocks, block_size, max_num_seqs):
    """Takes every running request for as large as the largest."""
    largest = max(running, key=lambda r: r.num_prompt_tokens + r.params.max_tokens, default=None)
    alike = [largest] * len(running)
    plan = step(waiting, alike, num_blocks, block_size, max_num_seqs)
    return [(r, r.num_tokens - r.num_computed_tokens) for r in running] + plan[len(running) :]


CASES = {
    "09.intensity": [("numbers are rounded", intensity_to_three_digits)],
    "10.step": [(None, running_at_most)],
    "13.bandwidth_use": [("numbers are rounded", share_to_four_digits)],
    "13.pick_tiles": [("small head_dim", tiles_of_16)],
    "15.accept": [("ratio is rounded", accept_in_float32), ("looked for all the same", accept_argmin)],
    "15.rejection_sample": [("not drawn by `last`", sample_by_choices), ("rejected draft is kept", sample_keeps_it)],
    "15.ngram": [("compared as text", propose_in_joined_text), ("its run is passed over", propose_full_only)],
    "15.when_it_pays": [("numbers are rounded", best_to_four_digits)],
}
