"""Exercise 04.allocator: the block allocator, a free list with reference counts."""

from course_lib.practice.judge.exercise import Exercise, Property

from .allocation_cost import costs_alike
from .allocator_answers import ChainOfBlocks, LowestFirst, StackOfBlocks
from .allocator_damage import KINDS, notices
from .allocator_game import by_hand, played
from .allocator_mistakes import MISTAKES
from .solutions.allocator import BlockAllocator

FULL = [(n, k) for n in (1, 2, 3) for k in (1, 2)]

ALLOCATOR = Exercise(
    id="04.allocator",
    title="A free list with counts",
    name="BlockAllocator",
    cases="programs",
    properties=[
        Property(
            "It has `num_blocks` and `block_size`, and all blocks are free at first",
            "The block table and the pool read both.",
            [
                by_hand(n, (look,), block_size=size)
                for n, size in ((1, 4), (2, 3), (3, 1), (5, 2))
                for look in ("sizes", "num_free")
            ],
        ),
        Property(
            "`allocate(n)` returns a list of n different free blocks",
            "Two requests with the same block overwrite each other's tokens.",
            [by_hand(n, ("allocate_few", "a", k)) for n in (2, 3, 5) for k in range(1, n)]
            + [by_hand(3, ("allocate", "a", 0)), by_hand(3, ("allocate", "a", 0), ("allocate", "b", 0))]
            + played(24, 1, "allocate_few", "allocate_few", "allocate_one", lengths=(1, 4)),
        ),
        Property(
            "If too few blocks are free, it returns None and allocates nothing",
            "To be out of blocks is not an error: the request waits.",
            [by_hand(n, ("allocate", "a", n + k)) for n, k in FULL]
            + [by_hand(n, ("allocate", "a", n), ("allocate", "b", 0)) for n in (1, 2)]
            + [by_hand(n, ("allocate", "a", n)) for n in (1, 2, 3)]
            + [by_hand(n, ("allocate", "a", n + k), ("num_free",)) for n, k in FULL]
            + [by_hand(n, ("allocate", "a", n + k), ("allocate", "b", n)) for n, k in FULL]
            + played(16, 2, "allocate", "allocate", "num_free", lengths=(2, 6)),
        ),
        Property(
            "Freed blocks can be allocated again, and blocks in use cannot",
            "A block that never becomes free again is lost until the server restarts.",
            played(36, 3, "allocate", "allocate", "give_back", "give_some")
            + played(16, 4, "allocate", "give_back", "num_free"),
        ),
        Property(
            "A block is free only after all its holders have freed it",
            "Two sequences share a block. The sequence that ends first must not free it for the other.",
            [
                by_hand(n, ("allocate", "a", n), ("share_twice", "a", "a"), look)
                for n in (1, 2, 3)
                for look in (("ref_counts", "a"), ("num_free",))
            ]
            + played(30, 5, "allocate", "share", "give_back", "num_free", "ref_counts")
            + played(20, 6, "allocate", "allocate", "share", "give_back")
            + [by_hand(n, ("allocate", "a", n), ("share", "a"), ("ref_counts", "a")) for n in (1, 2, 3)]
            + [by_hand(1, ("allocate", "a", 1), ("share_often", "a", k), ("ref_counts", "a")) for k in (130, 300)],
        ),
        Property(
            "A block cannot be freed more often than it is held: `LedgerError`, and no block of the list is freed",
            "A block that is freed twice is in the free list twice, and two requests get it.",
            played(30, 7, "allocate", "free", "free", "free_both", "num_free")
            + [by_hand(4, ("allocate", "a", k), ("free_both", "a", "a"), ("num_free",)) for k in (1, 2, 3)]
            + [
                by_hand(n, ("allocate", "a", n), ("share", "a"), ("free_both", "a", "a"), look)
                for n in (1, 2, 3)
                for look in (("num_free",), ("integrity",))
            ]
            + [
                by_hand(
                    n, ("allocate", "a", n), ("share_twice", "a", "a"), ("ref_counts", "a"), ("free_both", "a", "a")
                )
                for n in (1, 2, 3)
            ],
        ),
        Property(
            "An id that does not exist raises `LedgerError` in the same way",
            "It may be a slot, or a block of another pool. In Python, `counts[-1]` is the last block, not an error.",
            [
                by_hand(4, ("allocate", "a", 1), (kind, "a", block))
                for block in (4, 9, -1, -4, 10**9, -(10**9))
                for kind in ("free_id", "fork_id")
            ]
            + [
                by_hand(n, ("allocate", "a", n), (kind, "a", block), *look)
                for n in (1, 2, 4)
                for block in (-1, -n, n)
                for kind in ("free_id", "fork_id")
                for look in ([], [("ref_counts", "a")], [("num_free",)])
            ]
            + played(16, 8, "allocate", "free_id", "fork_id", "give_back", "num_free")
            + played(8, 12, "allocate", "free_id", "fork_id", "ref_counts"),
        ),
        Property(
            "A free block cannot be shared: `LedgerError`, and no block of the list is shared",
            "The next request that gets the block would overwrite the tokens in it.",
            played(24, 9, "allocate", "give_back", "fork", "fork_both", "ref_counts")
            + played(12, 10, "allocate", "give_back", "fork", "num_free"),
        ),
        Property(
            "`check_integrity()` raises and returns nothing while the ledger is consistent",
            "A check that always fails is of no use. The caller looks for an exception and not for a result.",
            played(24, 11, "allocate", "share", "give_back", "give_some", "integrity")
            + [by_hand(2, ("integrity",)), by_hand(2, ("allocate", "a", 2), ("integrity",))],
        ),
        Property(
            "`check_integrity()` raises `IntegrityError` when the ledger is not consistent",
            "A block that is free twice is given to two requests. A block that is neither free nor held is lost.",
            [notices(n, taken, what) for n, taken in ((4, 2), (6, 4), (9, 4)) for what in KINDS],
        ),
        Property(
            "Each operation costs the same with many blocks as with few",
            "An engine allocates and asks `num_free` in every step, whether there are a thousand blocks or a million.",
            run=costs_alike,
            slow=True,
        ),
    ],
    mistakes=MISTAKES,
    hints=[
        "Keep two things: a free list (the blocks without a holder) and a reference count for each block. A block is "
        "in the free list exactly when its count is 0.",
        "`allocate`: if n is larger than the length of the list, return None at once. Otherwise take n ids from the "
        "list, set their counts to 1, and return them.",
        "`free` and `fork` go through the list twice: first to check, and to raise `LedgerError` if one block cannot "
        "be freed or shared; then to change the counts. When `free` lowers a count to 0, the id goes back to the free "
        "list.",
        "`collections.deque` removes and adds at both ends in constant time: `popleft()` and `append(b)`. "
        "`collections.Counter(block_ids)` counts how often each id is in the list.",
        "`check_integrity`: `sorted(free_list)` must equal `[b for b in range(num_blocks) if counts[b] == 0]`. "
        "Otherwise raise `IntegrityError`.",
    ],
    rights=[BlockAllocator, StackOfBlocks, ChainOfBlocks, LowestFirst],
    why="The free list holds the blocks that can be allocated; the counts say how many holders each block has. "
    "Everything is checked before anything changes, so a call that raises an error changes nothing. `check_integrity` "
    "compares the free list with the counts: both say which blocks are free, and they are updated separately. vLLM's "
    "block pool works in this way, with a linked list, so that a cached block can be removed from the middle.",
)
