"""Copies of an allocator whose books contradict each other, for check_integrity in 04.allocator."""

import copy
from collections import deque

from course_lib.errors import IntegrityError
from course_lib.practice.judge.exercise import Trial
from course_lib.practice.judge.programs import Seen

TWICE, BOTH, NEITHER = "a block is free twice", "a block is free and held", "a block is neither free nor held"
KINDS = (TWICE, BOTH, NEITHER)


def damaged(allocator, what=None):
    """(attribute, copy) for each way to make a copy whose books contradict each other. what: one of KINDS, or all."""
    blocks = range(allocator.num_blocks)
    held = [b for b in blocks if allocator.ref_count(b)]
    free = [b for b in blocks if not allocator.ref_count(b)]
    for kind in [what] if what else KINDS:
        for name, value in list(vars(allocator).items()):
            change = None
            if holds_free_ids(value, free):
                change = {TWICE: _twice, BOTH: _put_held, NEITHER: lambda ids, free, held: ids.pop()}[kind]
            elif holds_counts(value, allocator):
                change = {TWICE: None, BOTH: _count_free, NEITHER: _forget_held}[kind]
            if change is None or kind == TWICE and isinstance(value, set):
                continue
            other = copy.deepcopy(allocator)
            change(getattr(other, name), free, held)
            yield name, other


def holds_free_ids(value, free):
    """Whether it is a container of ids of free blocks."""
    if not isinstance(value, (list, deque, set)) or not value:
        return False
    return all(type(b) is int for b in value) and len(set(value)) == len(value) and set(value) <= set(free)


def holds_counts(value, allocator):
    """Whether it holds the reference counts: by id, or of held blocks alone."""
    counts = [allocator.ref_count(b) for b in range(allocator.num_blocks)]
    if isinstance(value, (list, bytearray)):
        return list(value) == counts
    if not isinstance(value, dict) or not all(type(b) is int and 0 <= b < len(counts) for b in value):
        return False
    return all(value.get(b, 0) == count for b, count in enumerate(counts))


def _twice(ids, free, held):
    ids.append(ids[0])


def _put_held(ids, free, held):
    ids.pop()
    ids.add(held[0]) if isinstance(ids, set) else ids.append(held[0])


def _count_free(counts, free, held):
    counts[free[0]] = 1


def _forget_held(counts, free, held):
    if isinstance(counts, dict) and not any(b in counts for b in free):
        del counts[held[0]]
    else:
        counts[held[0]] = 0


def complains(allocator):
    """What check_integrity() raises: "IntegrityError", "no error", or the name of another error."""
    try:
        allocator.check_integrity()
    except Exception as error:
        return "IntegrityError" if isinstance(error, IntegrityError) else type(error).__name__
    return "no error"


def notices(num_blocks, taken, what):
    """The Trial of whether check_integrity() notices copies that are damaged in one way."""

    def act(answer):
        allocator = answer(num_blocks, 4)
        got = allocator.allocate(taken)
        allocator.free(got[:1])
        said = {name: complains(other) for name, other in damaged(allocator, what)}
        wrong = [Seen(word, f"{word}, after a change in `{name}`") for name, word in said.items()]
        return next((seen for seen in wrong if seen.what != "IntegrityError"), Seen("IntegrityError"))

    lines = [
        "from course_lib.practice.play import complains, damaged",
        f"allocator = BlockAllocator({num_blocks}, 4)",
        f"a = allocator.allocate({taken})",
        "allocator.free(a[:1])",
        f"[complains(other) for _, other in damaged(allocator, {what!r})]",
    ]
    return Trial(lines, act, show=str, size=num_blocks + taken, note=what)
