"""Trials of 08.store_kv."""

import torch

from course_lib.practice.fixtures.tiny_pages import tokens
from course_lib.practice.judge.rungs import trial
from course_lib.practice.report.tensors import numbers


def stores(slot_mapping, note="", **options):
    """The Trial of one step: both caches after the call, slot by slot."""
    lines, given = story(slot_mapping, **options)

    def call(answer, k, v, k_cache, v_cache, slots):
        answer(k, v, k_cache, v_cache, slots)
        return k_cache.flatten(0, 1), v_cache.flatten(0, 1)

    return trial(
        [
            *lines,
            "store_kv(k, v, k_cache, v_cache, slot_mapping)",
            "k_cache.flatten(0, 1), v_cache.flatten(0, 1)  # slot by slot",
        ],
        given,
        call,
        show=shown,
        note=note,
        explain=lambda expected, got: explain(expected, got, given()),
        size=weight(slot_mapping, **options),
    )


def story(slot_mapping, **options):
    call = ", ".join([str(slot_mapping), *(f"{name}={value}" for name, value in options.items())])
    return [
        "from course_lib.practice.play import new_tokens",
        f"k, v, k_cache, v_cache, slot_mapping = new_tokens({call})",
    ], lambda: tokens(slot_mapping, **options)


def weight(slot_mapping, num_blocks=3, block_size=2, kv_heads=1, head_dim=2):
    return 100 * len(slot_mapping) * kv_heads * head_dim + num_blocks * block_size


def untouched(slot_mapping, **options):
    """The Trial of which of k, v and slot_mapping a call changes."""
    lines, given = story(slot_mapping, **options)

    def call(answer, *given):
        before = [x.clone() for x in given]
        answer(*given)
        return [
            name
            for name, a, b in zip(("k", "v", None, None, "slot_mapping"), before, given)
            if name and not torch.equal(a, b)
        ]

    return trial(
        [
            "# which of k, v and slot_mapping are changed by the call?",
            *lines,
            "store_kv(k, v, k_cache, v_cache, slot_mapping)",
        ],
        given,
        call,
        show=lambda changed: " and ".join(changed) or "none" if isinstance(changed, list) else repr(changed),
        size=len(slot_mapping),
    )


def shown(caches):
    if not isinstance(caches, tuple):
        return repr(caches)
    if caches[0].numel() <= 16:
        return "\n".join(f"{name}: {numbers(x.flatten(1), 3)}" for name, x in zip(("keys  ", "values"), caches))
    return "\n".join(
        f"{name}, first number of each slot: {numbers(x.flatten(1)[:, 0], 3)}"
        for name, x in zip(("keys  ", "values"), caches)
    )


def explain(expected, got, given):
    """The first slot that is wrong; and of the token that belongs there, or stands there, where it is and belongs."""
    for name, new, want, mine in zip(("k_cache", "v_cache"), given[:2], expected, got):
        wrong = (want != mine).flatten(1).any(1) | mine.isnan().flatten(1).any(1)
        if wrong.any():
            slot = int(wrong.nonzero()[0])
            held, right = (numbers(x[slot].flatten()[:8], 3) for x in (mine, want))
            said = f"First different: slot {slot} of {name} holds {held}; it should hold {right}."
            return f"{said} {misplaced(name[0], new, mine, slot, given[4].tolist())}".rstrip()
    return ""


def misplaced(letter, new, mine, slot, slot_mapping):
    """Where the token that belongs into this slot stands, or where the one that stands there belongs; "" if unknown."""
    if slot in slot_mapping:
        token = len(slot_mapping) - 1 - slot_mapping[::-1].index(slot)
        places = (mine == new[token]).flatten(1).all(1).nonzero().flatten().tolist()
        return f"Row {token} of {letter} belongs there. It is in slot {places[0]}." if places else ""
    tokens = [i for i in range(len(new)) if torch.equal(new[i], mine[slot])]
    where = {i: f"slot {slot_mapping[i]}" if slot_mapping[i] >= 0 else "no slot" for i in tokens}
    return f"It holds row {tokens[0]} of {letter}, which belongs into {where[tokens[0]]}." if tokens else ""


ONE = [stores([0]), stores([1]), stores([4]), stores([0], head_dim=4), stores([5], num_blocks=4, block_size=4)]


SEVERAL = [
    stores([2, 3]),
    stores([3, 0]),
    stores([5, 2, 4]),
    stores([1, 2, 3, 0]),
    stores([7, 9, 2], block_size=4),
    stores([6, 5, 3, 0], num_blocks=7, block_size=1),
]


PADDED = [
    stores([-1]),
    stores([-1, 3]),
    stores([1, -1]),
    stores([4, -1, 0]),
    stores([0, -1], note="slot 0 belongs to token 0"),
    stores([-1, 0, 3, -1]),
    stores([2, 0, -1]),
    stores([-1, -1, 2, 5]),
    stores([3, -1, -1, 1, -1], block_size=4),
]


HEADS = [
    stores([3], kv_heads=2),
    stores([1, 4], kv_heads=2, head_dim=4),
    stores([2, -1, 5], kv_heads=4),
    stores([5, 1], kv_heads=4, head_dim=1),
]


UNTOUCHED = [untouched([1]), untouched([2, -1]), untouched([-1, 0, 3], kv_heads=2)]
