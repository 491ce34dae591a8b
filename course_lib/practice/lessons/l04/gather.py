"""Exercise 04.gather: the keys and values of a sequence in order, from blocks anywhere in the pool."""

import torch

from course_lib.errors import CourseError
from course_lib.practice.judge.common_mistakes import NOTHING_RETURNED, PRINTED
from course_lib.practice.judge.exercise import Counterexample, Exercise, Mistake, NotVerified, Property, Trial

from .gather_answers import gather_by_index, gather_by_loop, gather_by_slot
from .gather_mistakes import MISTAKES
from .gather_trials import every_bit, gathered, kept_in, stays, untouched
from .solutions.gather import gather


def equals_naive(answer):
    """Runs the answer in PagedCache on the bundled model, with blocks in a mixed order."""
    from course_lib import SamplingParams
    from course_lib.decoding import generate_cached, generate_naive
    from course_lib.kvcache import BlockAllocator, KVPool, PagedCache

    try:
        from course_lib.models import load_model

        model, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
    except (CourseError, ImportError, OSError) as error:
        raise NotVerified(f"the bundled model could not be loaded ({error})") from error

    class Pool(KVPool):
        def gather(self, layer, block_table, num_tokens):
            return tuple(answer(self.k[layer], self.v[layer], block_table, num_tokens))

    def act(answer):
        allocator = BlockAllocator(24, 4)
        blocks = allocator.allocate(24)
        allocator.free([blocks[i * 7 % 24] for i in range(24)])  # now the free list is in a mixed order
        return generate_cached(
            model, prompt, params, PagedCache(Pool(model.config, 24, 4, "cpu", torch.float32), allocator)
        )

    prompt, params = (
        tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter"),
        SamplingParams(max_tokens=24, ignore_eos=True),
    )
    trial = Trial(
        ["# generate_cached on the bundled model with your gather in KVPool: 24 tokens, blocks of 4 in a mixed order"],
        act,
        limit_s=60.0,
    )
    got, printed = trial.outcome(answer)
    expected = generate_naive(model, prompt, params)
    if got != expected:
        raise Counterexample(trial.story, expected, got, "the same as generate_naive", printed=printed)
    return "24 equal tokens"


ONE, FLAT, WIDE = (3, 2, 1, 1), (6, 4, 1, 1), (6, 3, 2, 4)
CHUNK = [
    (ONE, [0], 2),
    (ONE, [1], 2),
    (FLAT, [5], 4),
    (ONE, [2, 0], 4),
    (FLAT, [3, 1, 4], 12),
    ((4, 1, 1, 1), [2, 0, 3], 3),
]
PART = [(ONE, [1], 1), (ONE, [2, 0], 3), (FLAT, [4], 3), (FLAT, [3, 1, 4], 9), (FLAT, [5, 0], 7)]
PADDED = [
    (ONE, [1, -1], 2),
    (ONE, [1, -1, -1], 1),
    (FLAT, [3, 1, -1], 5),
    (FLAT, [5, -1, -1, -1], 4),
    (FLAT, [4, 2, -1], 8),
]
HEADS = [
    ((3, 2, 2, 1), [2, 0], 4),
    ((3, 2, 1, 2), [1], 2),
    ((3, 2, 2, 2), [2, 0], 3),
    (WIDE, [4, 1, 5], 8),
    (WIDE, [3, 0, -1], 4),
]
UNTOUCHED = [
    untouched(shape, table, n, nan)
    for nan in (False, True)
    for shape, table, n in ((ONE, [2, 0], 3), (FLAT, [3, 1, -1], 5), (WIDE, [3, 0, -1], 4))
]
STAYS = [stays(*case) for case in (CHUNK[0], PART[0], PART[1], PADDED[1])]
EXACT = [every_bit(*case) for case in (([2, 0], 3), ([4], 2), ([5, 1, -1], 4))]

GATHER = Exercise(
    id="04.gather",
    title="One piece again",
    name="gather",
    cases="sequences",
    properties=[
        Property(
            "Whole blocks are returned in the order of the table",
            "The table holds the order of the sequence, the pool does not.",
            [gathered(*case) for case in CHUNK],
        ),
        Property(
            "Of the last block, only the filled slots are returned",
            "The slots after the last token hold old values of another sequence.",
            [gathered(*case) for case in PART],
        ),
        Property(
            "Padding in the table is not a block",
            "Tables are padded with -1 to one length; `k_cache[-1]` is a block of another sequence, not an error.",
            [gathered(*case) for case in PADDED],
        ),
        Property(
            "The dimensions of heads and head_dim are not changed",
            "Blocks and slots become one dimension, tokens; the other dimensions stay.",
            [gathered(*case) for case in HEADS],
        ),
        Property(
            "k and v have the pool's dtype, and nothing of other blocks goes into them",
            "A pool in half precision takes half the memory. Blocks that were never written may hold nan.",
            [
                kept_in(dtype, *case)
                for dtype in (torch.float16, torch.bfloat16, torch.float64)
                for case in (([2, 0], 3), ([4], 2), ([5, 1, -1], 4))
            ]
            + EXACT,
        ),
        Property(
            "The pool and the table are not changed", "The pool holds the keys and values of all sequences.", UNTOUCHED
        ),
        Property(
            "The result stays as it is when the pool is written again",
            "A view of the pool shows what later steps write there.",
            STAYS,
        ),
        Property(
            "In `PagedCache`, the bundled model generates the same tokens as with `generate_naive`",
            "`generate_naive` is the course's reference.",
            run=equals_naive,
            slow=True,
        ),
    ],
    mistakes=[
        PRINTED,
        NOTHING_RETURNED,
        Mistake(
            "the pool or the table is changed.",
            "Functions whose names end in `_` write into the tensor itself, and so do assignments to a part of it.",
            is_made_by=lambda answer, found: found.trial in UNTOUCHED and found.outcome is False,
        ),
        Mistake(
            "the numbers go through a dtype with fewer bits.",
            "`half()` and `bfloat16()` round, and what is rounded does not come back. Index the pool, and convert "
            "nothing.",
            is_made_by=lambda answer, found: found.trial in EXACT and isinstance(found.outcome, list),
        ),
        Mistake(
            "views of the pool are returned.",
            "A slice of the pool is the pool's own memory. An index with a tensor, `torch.cat` and `clone()` copy.",
            is_made_by=lambda answer, found: found.trial in STAYS and isinstance(found.outcome, list),
        ),
        *MISTAKES,
    ],
    hints=[
        "`k_cache[blocks]`, with a tensor of block ids, returns these blocks in this order: [number of ids, "
        "block_size, heads, head_dim].",
        "Blocks and slots must become one dimension, tokens: `.flatten(0, 1)`.",
        "The table may be longer than needed. `needed = -(-num_tokens // block_size)` blocks hold the tokens, and the "
        "last block may be partly filled: `[:num_tokens]` at the end.",
    ],
    rights=[gather, gather_by_slot, gather_by_loop, gather_by_index],
    why="The index puts the blocks into the order of the sequence, `flatten` makes a row of tokens, and the cut "
    "removes the empty slots of the last block. The cost is a copy: every step copies all keys and values. In lesson "
    "08 a kernel reads the blocks in place.",
)
