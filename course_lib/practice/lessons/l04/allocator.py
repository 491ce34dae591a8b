"""Cases of 04.allocator: programs of calls, damaged books, and what a block costs."""

import copy
from collections import deque

from course_lib.errors import IntegrityError
from course_lib.practice.judge.exercise import Exercise, Property, Trial

from .allocation_cost import costs_alike
from .allocator_answers import ChainOfBlocks, LowestFirst, StackOfBlocks
from .allocator_game import by_hand, played
from .allocator_mistakes import MISTAKES
from .solutions.allocator import BlockAllocator


def damaged(allocator):
    """Copies of the allocator's books, each with one thing changed: an id taken out, an id twice, or a number off by one."""
    for name, value in vars(allocator).items():
        if name in ("num_blocks", "block_size"):
            continue
        for change in {
            list: (_drop, _double, _raise),
            deque: (_drop, _double),
            set: (_drop,),
            dict: (_drop, _raise),
            int: (lambda x: x + 1,),
        }.get(next((k for k in (list, deque, set, dict, int) if isinstance(value, k)), None), ()):
            other = copy.deepcopy(allocator)
            try:
                changed = change(getattr(other, name))
                setattr(other, name, getattr(other, name) if changed is None else changed)
            except Exception:
                continue
            yield other


def _drop(held):
    held.pop() if not isinstance(held, dict) else held.popitem()


def _double(held):
    held.append(held[-1])


def _raise(held):
    for at in range(len(held)) if isinstance(held, list) else list(held):
        held[at] += 1
        return


def complains(allocator):
    """Whether check_integrity() raises IntegrityError."""
    try:
        allocator.check_integrity()
    except IntegrityError:
        return True
    except Exception:
        return False
    return False


def notices(num_blocks, taken):
    """Whether any of several changes to the books is noticed."""

    def act(answer):
        allocator = answer(num_blocks, 4)
        allocator.allocate(taken)
        return any(map(complains, damaged(allocator)))

    lines = [
        "from course_lib.practice.play import complains, damaged",
        f"allocator = BlockAllocator({num_blocks}, 4)",
        f"allocator.allocate({taken})",
        "any(complains(copy) for copy in damaged(allocator))  # damaged: an id lost, an id twice, a count off by one, "
        "…",
    ]
    return Trial(lines, act, size=num_blocks + taken, note="at least one of them breaks the books")


FULL = [(n, k) for n in (1, 2, 3) for k in (1, 2)]

ALLOCATOR = Exercise(
    id="04.allocator",
    title="A free list with counts",
    name="BlockAllocator",
    cases="programs",
    properties=[
        Property(
            "It knows its two sizes, and all blocks are free at first",
            "The block table and the pool read `num_blocks` and `block_size`.",
            [
                by_hand(n, (look,), block_size=size)
                for n, size in ((1, 4), (2, 3), (3, 1), (5, 2))
                for look in ("sizes", "num_free")
            ],
        ),
        Property(
            "`allocate(n)` gives a list of n different free blocks",
            "Two requests with one block write over each other.",
            [by_hand(n, ("allocate_few", "a", k)) for n in (2, 3, 5) for k in range(1, n)]
            + [by_hand(3, ("allocate", "a", 0))]
            + played(24, 1, "allocate_few", "allocate_few", "allocate_one", lengths=(1, 4)),
        ),
        Property(
            "Where too few are free it gives None, and takes nothing",
            "Out of memory is an answer: the request waits, and nothing is lost.",
            [by_hand(n, ("allocate", "a", n + k)) for n, k in FULL]
            + [by_hand(n, ("allocate", "a", n)) for n in (1, 2, 3)]
            + [by_hand(n, ("allocate", "a", n + k), ("num_free",)) for n, k in FULL]
            + [by_hand(n, ("allocate", "a", n + k), ("allocate", "b", n)) for n, k in FULL]
            + played(16, 2, "allocate", "allocate", "num_free", lengths=(2, 6)),
        ),
        Property(
            "What was freed can be had again, and nothing that is in use",
            "A block that never comes back is lost until the server restarts.",
            played(36, 3, "allocate", "allocate", "give_back", "give_some")
            + played(16, 4, "allocate", "give_back", "num_free"),
        ),
        Property(
            "A block is free only when all who hold it have freed it",
            "Two texts share a block; the first to end must not take it from the other.",
            played(30, 5, "allocate", "share", "give_back", "num_free", "ref_counts")
            + played(20, 6, "allocate", "allocate", "share", "give_back")
            + [by_hand(n, ("allocate", "a", n), ("share", "a"), ("ref_counts", "a")) for n in (1, 2, 3)],
        ),
        Property(
            "More than is held cannot be freed: `LedgerError`, and none of the list is",
            "Freed twice, a block stands in the free list twice and is handed to two.",
            played(30, 7, "allocate", "free", "free", "free_both", "num_free")
            + [by_hand(4, ("allocate", "a", k), ("free_both", "a", "a"), ("num_free",)) for k in (1, 2, 3)],
        ),
        Property(
            "An id that does not exist is refused in the same way",
            "It may be a slot, or a block of another pool. In Python `counts[-1]` is the last block, not an error.",
            [
                by_hand(4, ("allocate", "a", 1), (kind, "a", block))
                for block in (4, 9, -1)
                for kind in ("free_id", "fork_id")
            ]
            + played(16, 8, "allocate", "free_id", "fork_id", "give_back", "num_free")
            + played(8, 12, "allocate", "free_id", "fork_id", "ref_counts"),
        ),
        Property(
            "What is free cannot be shared: `LedgerError`, and none of the list is",
            "Whoever gets it next would write into the sharer's text.",
            played(24, 9, "allocate", "give_back", "fork", "fork_both", "ref_counts")
            + played(12, 10, "allocate", "give_back", "fork", "num_free"),
        ),
        Property(
            "`check_integrity()` is silent while the books are right",
            "An alarm that always rings is switched off.",
            played(24, 11, "allocate", "share", "give_back", "give_some", "integrity")
            + [by_hand(2, ("integrity",)), by_hand(2, ("allocate", "a", 2), ("integrity",))],
        ),
        Property(
            "`check_integrity()` raises `IntegrityError` when they are not",
            "A check that cannot fail checks nothing.",
            [notices(n, taken) for n, taken in ((2, 1), (4, 2), (5, 3))],
        ),
        Property(
            "Blocks cost the same in a large memory",
            "An engine allocates in every step, from a million blocks as from a thousand.",
            run=costs_alike,
            slow=True,
        ),
    ],
    mistakes=MISTAKES,
    hints=[
        "Two things to keep: a free list (which blocks nobody holds) and a count for each block. Every block is in "
        "the free list exactly when its count is 0.",
        "`allocate`: if n is more than the list holds, return None at once. Else take n ids off the list, set their "
        "counts to 1, and return them.",
        "`free` and `fork` go through the list twice: once to look, and raise `LedgerError` if one of them cannot be; "
        "once to change the counts. When `free` brings a count to 0, the id goes back to the free list.",
        "`collections.deque` takes off and adds at both ends at the same cost: `popleft()` and `append(b)`. "
        "`collections.Counter(block_ids)` says how often each id is in the list.",
        "`check_integrity`: `sorted(free_list)` must equal `[b for b in range(num_blocks) if counts[b] == 0]`. "
        "Otherwise raise `IntegrityError`.",
    ],
    rights=[BlockAllocator, StackOfBlocks, ChainOfBlocks, LowestFirst],
    why="The free list says what can be had, the counts say why the rest cannot. Whatever may be refused is looked at "
    "before anything changes, so a refusal leaves no trace. `check_integrity` compares the two books, which know the "
    "same fact and are kept apart. vLLM's block pool is this, with a linked list, so that a cached block can leave "
    "from the middle.",
)
