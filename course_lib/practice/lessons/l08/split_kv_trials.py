"""Trials of 08.split_kv."""

import torch

from course_lib.practice.fixtures.tiny_pages import plain
from course_lib.practice.judge.agreement import differing, rounding_of_exp
from course_lib.practice.judge.rungs import trial
from course_lib.practice.lessons.instead import instead

from .paged_trials import called, keys_of, stays, step, untouched, weight
from .paged_trials import shown as shown_alone


def splits(seq_lens, num_splits, note="(out, partial, lse)", **options):
    """The Trial of one decode step in parts."""
    lines, given = step("decode_step", seq_lens, **options)
    return trial(
        [*lines, called("split_kv", 5, num_splits)],
        given,
        lambda answer, *given: plain(answer(*given, num_splits)),
        show=shown,
        note=note,
        explain=lambda expected, got: explain(expected, got, given(), num_splits),
        size=weight(seq_lens, num_splits * len(seq_lens), **options),
        rounding=rounding_of_exp(10 * options.get("times", 1.0) ** 2),
    )


def at_any_count(seq_lens, **options):
    """The Trial of the output alone, in 1, 2, 3 and 5 parts."""
    lines, given = step("decode_step", seq_lens, **options)

    def call(answer, *given):
        return tuple(plain(answer(*given, n)[0]) for n in (1, 2, 3, 5))

    return trial(
        [*lines, f"[{called('split_kv', 5, 'n')}[0] for n in (1, 2, 3, 5)]"],
        given,
        call,
        show=shown,
        size=10 * weight(seq_lens, len(seq_lens), **options),
        note="the same for each number of parts",
    )


def shown(result):
    if isinstance(result, tuple) and len(result) == 3:
        return "\n".join(f"{name:<8}{shown_alone(one)}" for name, one in zip(("out", "partial", "lse"), result))
    return shown_alone(result)


def explain(expected, got, given, num_splits):
    """Which of the three tensors differs, where it does first, and what stands there instead."""
    if not isinstance(got, tuple) or len(got) != 3:
        return "The exercise asks for three tensors: the output, the partial outputs, and the log-sum-exp of each part."
    for name, want, mine in zip(("partial", "lse", "out"), (*expected[1:], expected[0]), (*got[1:], got[0])):
        if not isinstance(mine, torch.Tensor) or mine.shape != want.shape:
            return f"`{name}` has shape {list(getattr(mine, 'shape', []))}; it should be {list(want.shape)}."
        wrong = differing(want, mine)
        wrong = wrong if name == "lse" else wrong.any(-1)
        if wrong.any():
            at = wrong.nonzero()[0].tolist()
            where = f"sequence {at[0]}, head {at[1]}" + (f", part {at[2]}" if name != "out" else "")
            before = "; the parts are right" if name == "out" else ""
            said = f"First different: `{name}` of {where}{before}."
            return f"{said} {other_part(want, mine, at, given, num_splits)}".rstrip() if name == "partial" else said
    return ""


def other_part(want, mine, at, given, num_splits):
    """A sentence on what a wrong partial output is."""
    (sequence, head, part), (q, k_cache), seq_lens = at[:3], given[:2], given[4]
    length, size = int(seq_lens[sequence]), k_cache.shape[1]
    tokens = -(-length // (num_splits * size)) * size
    span = min(part * tokens, length), min((part + 1) * tokens, length)
    want, mine = (x.transpose(1, 2).flatten(0, 1) for x in (want, mine))  # [sequences x parts, heads, head_dim]
    row = sequence * num_splits + part
    return instead(want, mine, row, head, q[sequence, head], *keys_of(given, sequence), span, part_name(num_splits))


def part_name(num_splits):
    return lambda row: f"part {row % num_splits} of sequence {row // num_splits}"


ONE = [splits([2], 1), splits([3], 1), splits([1], 1, head_dim=4), splits([5], 1), splits([4], 1, block_size=4)]


SEVERAL = [
    splits([4], 2),
    splits([6], 3),
    splits([8], 2),
    splits([8], 4),
    splits([16], 2, block_size=4),
    splits([12], 3, head_dim=4),
]


UNEVEN = [splits([3], 2), splits([6], 2), splits([7], 2), splits([5], 3), splits([10], 3), splits([9], 2, block_size=4)]


EMPTY = [
    splits([2], 2),
    splits([1], 3),
    splits([0], 1),
    splits([4], 4),
    splits([0], 2),
    splits([6], 4),
    splits([5], 4, block_size=4),
]


BATCH = [splits([4, 2], 2), splits([3, 8], 2), splits([1, 0, 6], 3), splits([5, 9], 2, block_size=4), splits([4, 4], 2)]


HEADS = [
    splits([4], 2, heads=2),
    splits([4], 2, heads=2, kv_heads=2),
    splits([5], 2, heads=4, kv_heads=2),
    splits([3, 6], 2, heads=3),
    splits([4], 2, heads=6, kv_heads=2),
    splits([4, 2], 2, heads=4, kv_heads=2),
]


LARGE = [
    splits([2], 1, times=20.0),
    splits([4], 2, times=20.0),
    splits([6], 3, times=20.0),
    splits([5, 7], 2, times=30.0),
]


SAME = [at_any_count([7]), at_any_count([16, 3]), at_any_count([9, 12], heads=2)]


UNTOUCHED = [
    untouched("split_kv", *step("decode_step", lens, heads=heads), sum(lens), 2)
    for lens, heads in (([3], 1), ([4, 1], 1), ([3], 2))
]


WIDE = [splits([2, 1], 2, spare=1), splits([3, 5], 2, spare=2), splits([4, 1, 2], 3, spare=4)]


STALE = [splits([1], 1, stale=True), splits([3, 2], 2, stale=True), splits([5, 1], 2, block_size=4, stale=True)]


STAYS = [stays("split_kv", *step("decode_step", lens), sum(lens), 2) for lens in ([2], [3, 1])]
