"""Answers to 04.find_the_leak: right ones written differently, and wrong ones with one part replaced."""

import random
from collections import Counter


def find_at_random(make_allocator):
    """Random calls, with a comparison after each."""
    draw, allocator = random.Random(0), make_allocator(12, 1)
    tables, holders = [], [0] * 12
    for _ in range(300):
        operation = draw.choice(["allocate", "fork", "free"])
        if operation == "allocate":
            got = allocator.allocate(draw.randint(1, 7))
            if got is not None:
                tables.append(got)
                for b in got:
                    holders[b] += 1
        elif tables and operation == "fork":
            tables.append(list(draw.choice(tables)))
            allocator.fork(tables[-1])
            for b in tables[-1]:
                holders[b] += 1
        elif tables:
            gone = tables.pop(draw.randrange(len(tables)))
            allocator.free(gone)
            for b in gone:
                holders[b] -= 1
        free = holders.count(0)
        if allocator.num_free != free:
            return [operation, "lost" if allocator.num_free < free else "twice"]
        if [allocator.ref_count(b) for b in range(12)] != holders:
            return [operation, "count"]
    return None


def find_one_by_one(make_allocator):
    """Several calls of each operation in turn, with a comparison after each."""

    def compare(allocator, counts):
        free = 6 - len(counts)
        if allocator.num_free < free:
            return "lost"
        if allocator.num_free > free:
            return "twice"
        return "count" if [allocator.ref_count(b) for b in counts] != list(counts.values()) else None

    allocator = make_allocator(6, 4)
    for _ in range(4):
        allocator.allocate(7)
        if allocator.num_free < 6:
            return "allocate", "lost"
    got = {}
    for _ in range(4):
        got[allocator.allocate(1)[0]] = 1
        if what := compare(allocator, got):
            return "allocate", what
    pair = list(got)[:2]
    for _ in range(4):
        allocator.fork(pair)
        for b in pair:
            got[b] += 1
        if what := compare(allocator, got):
            return "fork", what
    for _ in range(5):
        allocator.free(pair)
        for b in pair:
            got[b] -= 1
            if got[b] == 0:
                del got[b]
        if what := compare(allocator, got):
            return "free", what
    for b in list(got):
        allocator.free([b])
        del got[b]
        if what := compare(allocator, got):
            return "free", what


def never_reports(make_allocator):
    make_allocator(8, 4).allocate(3)
    return None


def tool(
    *,
    rounds=3,
    asks_too_much=True,
    forks=True,
    n=3,
    compares_after=("allocate", "fork", "free"),
    returns=lambda operation, what: (operation, what),
    counts=True,
    counts_first=False,
    frees=True,
    nothing=None,
    none_is=None,
):
    """A wrong answer: the right tool with one part replaced."""

    def answer(make_allocator):
        allocator, held = make_allocator(8, 4), Counter()

        def fault():
            not_held = sum(held[b] == 0 for b in range(8))
            if counts_first and any(allocator.ref_count(b) != held[b] for b in range(8)):
                return "count"
            if allocator.num_free != not_held:
                return "lost" if allocator.num_free < not_held else "twice"
            if counts and any(allocator.ref_count(b) != held[b] for b in range(8)):
                return "count"

        def found(operation):
            return operation in compares_after and fault()

        for _ in range(rounds):
            if asks_too_much:
                got = allocator.allocate(9)
                if found("allocate"):
                    return returns("allocate", fault())
                if got is None and none_is:
                    return none_is
            blocks = allocator.allocate(n)
            held.update(blocks)
            if found("allocate"):
                return returns("allocate", fault())
            if forks:
                allocator.fork(blocks)
                held.update(blocks)
                if found("fork"):
                    return returns("fork", fault())
            for _ in range(2 if forks else 1) if frees else ():
                allocator.free(blocks)
                held.subtract(blocks)
                if found("free"):
                    return returns("free", fault())
            if not frees:
                allocator, held = make_allocator(8, 4), Counter()
        return nothing

    return answer
