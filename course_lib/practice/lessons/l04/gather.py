"""Exercise 04.gather: the keys and values of a sequence in order, from blocks anywhere in the pool."""

import torch

from course_lib.errors import CourseError
from course_lib.practice.judge.common_mistakes import NOTHING_RETURNED, PRINTED
from course_lib.practice.judge.exercise import Counterexample, Exercise, Mistake, NotVerified, Property, Trial
from course_lib.practice.report.tensors import numbers

from .gather_answers import gather_by_index, gather_by_loop, gather_by_slot
from .gather_mistakes import MISTAKES
from .solutions.gather import gather


def numbered_pool(num_blocks, block_size, heads, head_dim):
    """k and v, each [num_blocks, block_size, heads, head_dim]: k counts 1, 2, 3, … in memory order, v is -k."""
    k = (
        torch.arange(num_blocks * block_size * heads * head_dim, dtype=torch.float32).view(
            num_blocks, block_size, heads, head_dim
        )
        + 1
    )
    return k, -k


def kept_in(dtype, table, num_tokens):
    """The Trial of one sequence in a pool of this dtype, in which all that is not its own is nan."""

    def act(answer):
        pools = [x.to(dtype) for x in numbered_pool(6, 2, 1, 2)]
        fill_others(pools, table)
        got = answer(*pools, torch.tensor(table), num_tokens)
        return [(list(x.shape), str(x.dtype), x.double().flatten().tolist()) for x in got]

    lines = [
        "from course_lib.practice.play import numbered_pool",
        f"k_cache, v_cache = (x.to({dtype}) for x in numbered_pool(6, 2, 1, 2))",
        f"others = {[b for b in range(6) if b not in table]}",
        'k_cache[others] = v_cache[others] = float("nan")',
        f"k, v = gather(k_cache, v_cache, torch.tensor({table}), {num_tokens})",
        "[(list(x.shape), x.dtype, x.tolist()) for x in (k, v)]",
    ]
    return Trial(lines, act, size=100 * num_tokens)


def gathered(shape, table, num_tokens, note=""):
    """The Trial of one sequence in a pool of this shape."""
    lines = [
        "from course_lib.practice.play import numbered_pool",
        "# blocks, slots a block, heads, head_dim; k is 1, 2, 3, … and v is -1, -2, -3, …",
        f"k_cache, v_cache = numbered_pool{shape}",
        f"k, v = gather(k_cache, v_cache, torch.tensor({table}), {num_tokens})",
    ]

    def act(answer):
        got = answer(*numbered_pool(*shape), torch.tensor(table), num_tokens)
        return list(got) if isinstance(got, (tuple, list)) else got

    return Trial(
        lines,
        act,
        show=shown,
        explain=explain,
        note=note,
        size=100 * num_tokens * shape[2] * shape[3] + 10 * len(table) + shape[0] + shape[1],
    )


def fill_others(pools, table):
    """Writes nan into all blocks that are not in the table."""
    for x in pools:
        x[[b for b in range(len(x)) if b not in table]] = float("nan")


def untouched(shape, table, num_tokens, nan=False):
    """The Trial of whether the pool and the table are the same after the call. nan: all other blocks hold nan."""

    def act(answer):
        given = (*numbered_pool(*shape), torch.tensor(table))
        if nan:
            fill_others(given[:2], table)
        before = [t.clone() for t in given]
        answer(*given, num_tokens)
        return all(bool(((a == b) | (a.isnan() & b.isnan())).all()) for a, b in zip(before, given))

    base = gathered(shape, table, num_tokens)
    return Trial(
        [
            f"# are the pool and the table the same after the call?  shape {shape}, table {table}"
            + ", nan in all other blocks" * nan,
            *base.story,
        ],
        act,
        size=base.size,
    )


def every_bit(table, num_tokens):
    """The Trial of whether each number is exactly the one of the pool: 1/3, 2/3, … have no few digits."""

    def act(answer):
        pools = [x / 3 for x in numbered_pool(6, 2, 1, 2)]
        got = answer(*pools, torch.tensor(table), num_tokens)
        places = [(table[i // 2], i % 2) for i in range(num_tokens)]
        return [torch.equal(x, torch.stack([pool[place] for place in places])) for x, pool in zip(got, pools)]

    lines = [
        "from course_lib.practice.play import numbered_pool",
        "k_cache, v_cache = (x / 3 for x in numbered_pool(6, 2, 1, 2))",
        f"k, v = gather(k_cache, v_cache, torch.tensor({table}), {num_tokens})",
        f"# is each number exactly that of the pool? token 0 is k_cache[{table[0]}, 0], and so on",
    ]
    return Trial(lines, act, size=100 * num_tokens, note="k, v")


def firsts(x):
    """The first number of each of the first 8 tokens, in a short form."""
    return numbers(x.reshape(len(x), -1)[:8, 0]) if x.ndim and len(x) else []


def shown(outcome):
    """k and v written out, or their shapes and first numbers."""
    if isinstance(outcome, list) and len(outcome) == 2 and all(isinstance(x, torch.Tensor) for x in outcome):
        if max(x.numel() for x in outcome) <= 16:
            return "\n".join(f"{name} = {numbers(x)}" for name, x in zip("kv", outcome))
        return "\n".join(
            f"{name}: {list(x.shape)}, the first number of each token {firsts(x)}" for name, x in zip("kv", outcome)
        )
    return repr(outcome)


def explain(expected, got):
    """The shape that is wrong, or the first token that differs, in words."""
    if not isinstance(got, list) or len(got) != 2:
        return "Return two tensors: k and v."
    for name, a, b in zip("kv", expected, got):
        if not isinstance(b, torch.Tensor):
            return f"`{name}` is {type(b).__name__}; it must be a tensor."
        if a.shape != b.shape:
            return f"`{name}` has the shape {list(b.shape)}; [num_tokens, num_kv_heads, head_dim] is {list(a.shape)}."
        if not a.equal(b):
            token = (a != b).reshape(len(a), -1).any(1).nonzero()[0].item()
            return f"The first difference: token {token} of `{name}`."
    return ""


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
