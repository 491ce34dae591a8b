"""Cases of 04.gather: a sequence in one piece again, from blocks that stand anywhere."""

import torch

from course_lib.errors import CourseError
from course_lib.practice.judge.common_mistakes import NOTHING_RETURNED, PRINTED
from course_lib.practice.judge.exercise import Counterexample, Exercise, Mistake, NotVerified, Property, Trial
from course_lib.practice.report.tensors import numbers

from .gather_answers import (
    answer_with,
    from_the_pool,
    gather_by_index,
    gather_by_loop,
    gather_by_slot,
    tokens_for_blocks,
)
from .solutions.gather import gather


def numbered_pool(num_blocks, block_size, heads, head_dim):
    """Two tensors [num_blocks, block_size, heads, head_dim], in which each number says where it stands; v is -k."""
    k = (
        torch.arange(num_blocks * block_size * heads * head_dim, dtype=torch.float32).view(
            num_blocks, block_size, heads, head_dim
        )
        + 1
    )
    return k, -k


def gathered(shape, table, num_tokens, note=""):
    """The Trial of one sequence in a pool of this shape."""
    lines = [
        "from course_lib.practice.play import numbered_pool",
        f"k_cache, v_cache = numbered_pool{shape}  # blocks, slots of a block, heads, numbers a head: 1, 2, 3, … and -1, -2, -3, …",
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


def untouched(shape, table, num_tokens):
    """The Trial that looks at the pool and the table after the call."""

    def act(answer):
        given = (*numbered_pool(*shape), torch.tensor(table))
        before = [t.clone() for t in given]
        answer(*given, num_tokens)
        return all(map(torch.equal, before, given))

    base = gathered(shape, table, num_tokens)
    return Trial(
        [f"# do the pool and the table stay as they were?  shape {shape}, table {table}", *base.story],
        act,
        size=base.size,
    )


def shown(outcome):
    if isinstance(outcome, list) and len(outcome) == 2 and all(isinstance(x, torch.Tensor) for x in outcome):
        if max(x.numel() for x in outcome) <= 16:
            return "\n".join(f"{name} = {numbers(x)}" for name, x in zip("kv", outcome))
        return "\n".join(
            f"{name}: {list(x.shape)}, first numbers of its tokens {numbers(x.reshape(len(x), -1)[:8, 0]) if x.ndim and len(x) else []}"
            for name, x in zip("kv", outcome)
        )
    return repr(outcome)


def explain(expected, got):
    """Shapes, or the first token that differs."""
    if not isinstance(got, list) or len(got) != 2:
        return "Two tensors are asked for: k and v."
    for name, a, b in zip("kv", expected, got):
        if not isinstance(b, torch.Tensor):
            return f"`{name}` is {type(b).__name__}; a tensor is asked for."
        if a.shape != b.shape:
            return f"`{name}` has the shape {list(b.shape)}; [num_tokens, heads, numbers a head] is {list(a.shape)}."
        if not a.equal(b):
            token = (a != b).reshape(len(a), -1).any(1).nonzero()[0].item()
            return f"First different: token {token} of `{name}`."
    return ""


def tells_the_same_tale(answer):
    """Inside PagedCache on the bundled model, over blocks in an order that nobody would guess."""
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
        allocator.free([blocks[i * 7 % 24] for i in range(24)])  # the free list is well mixed now
        return generate_cached(
            model, prompt, params, PagedCache(Pool(model.config, 24, 4, "cpu", torch.float32), allocator)
        )

    prompt, params = (
        tokenizer.encode("Once upon a time, in a quiet harbour, there lived a patient otter"),
        SamplingParams(max_tokens=24, ignore_eos=True),
    )
    trial = Trial(
        ["# KVPool.gather is yours, in generate_cached on the bundled model: 24 tokens, blocks of 4 in a mixed order"],
        act,
        limit_s=60.0,
    )
    got, printed = trial.outcome(answer)
    expected = generate_naive(model, prompt, params)
    if got != expected:
        raise Counterexample(trial.story, expected, got, "the same as generate_naive", printed=printed)
    return "24 tokens alike"


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
UNTOUCHED = [untouched(ONE, [2, 0], 3), untouched(FLAT, [3, 1, -1], 5), untouched(WIDE, [3, 0, -1], 4)]

GATHER = Exercise(
    id="04.gather",
    title="One piece again",
    name="gather",
    cases="sequences",
    properties=[
        Property(
            "Whole blocks come in the order of the table",
            "The order of the text is in the table, not in the pool.",
            [gathered(*case) for case in CHUNK],
        ),
        Property(
            "Of the last block only what is filled comes",
            "Behind the last token there is what another text left in the slot.",
            [gathered(*case) for case in PART],
        ),
        Property(
            "Padding in the table is no block",
            "Rows of a table are padded with -1 to one length; `cache[-1]` is somebody's block, not an error.",
            [gathered(*case) for case in PADDED],
        ),
        Property(
            "Heads and numbers stay as they are",
            "Blocks and slots become one dimension, tokens; the others are not touched.",
            [gathered(*case) for case in HEADS],
        ),
        Property("Pool and table stay as they were", "Everybody's keys and values are in them.", UNTOUCHED),
        Property(
            "Inside `PagedCache` the bundled model tells the same tale",
            "The oracle, `generate_naive`, writes the same tokens.",
            run=tells_the_same_tale,
            slow=True,
        ),
    ],
    mistakes=[
        PRINTED,
        NOTHING_RETURNED,
        Mistake(
            "the pool or the table is changed.",
            "Functions with an underscore at the end write into the tensor itself, and so does assigning to a part of "
            "it.",
            is_made_by=lambda answer, found: found.trial in UNTOUCHED and found.outcome is False,
        ),
        Mistake(
            "slots behind the last token come along.",
            "The last block may be partly filled: cut at `[:num_tokens]`. What stands behind was written by somebody "
            "else.",
            (
                answer_with(cut=lambda x, n, size: x),
                answer_with(table=lambda t, n, size: t[t >= 0], cut=lambda x, n, size: x),
            ),
        ),
        Mistake(
            "padding is gathered.",
            "-1 stands for no block, but as an index it is the last one of the pool. Only the first "
            "`ceil(num_tokens / block_size)` entries count.",
            answer_with(table=lambda t, n, size: t, cut=lambda x, n, size: x),
        ),
        Mistake(
            "the last block is left out where it is not full.",
            "Round up: 5 tokens are in two blocks of 4.",
            (
                answer_with(table=lambda t, n, size: t[: n // size]),
                answer_with(table=lambda t, n, size: t[: max(1, n // size)]),
            ),
        ),
        Mistake(
            "the order of the blocks is lost.",
            "`cache[block_table]` keeps the table's order. A sorted table, or a mask over the blocks, gives that of "
            "the pool.",
            (
                answer_with(table=lambda t, n, size: t[: -(-n // size)].sort().values),
                answer_with(table=lambda t, n, size: t[: -(-n // size)].flip(0)),
            ),
        ),
        Mistake(
            "the sequence is taken for one piece.",
            "Only its first block is where its first block is. Each of the others stands somewhere else.",
            from_the_pool,
        ),
        Mistake(
            "block ids are taken for slots.",
            "An entry of the table is a whole block: index the tensor of blocks, then make slots of blocks and slots.",
            tokens_for_blocks,
        ),
        Mistake(
            "v is taken from the keys.",
            "k comes from `k_cache`, v from `v_cache`, through the same table.",
            answer_with(both=lambda k, v: (k, k)),
        ),
        Mistake("k and v are swapped.", "Return k first.", answer_with(both=lambda k, v: (v, k))),
        Mistake(
            "the two come as one tensor.",
            "Return two tensors, k and v.",
            answer_with(both=lambda k, v: torch.stack([k, v])),
        ),
        Mistake(
            "blocks and slots are not joined.",
            "[blocks, slots, heads, numbers] becomes [tokens, heads, numbers]: `.flatten(0, 1)`.",
            answer_with(cut=lambda x, n, size: x, join=lambda x: x),
        ),
        Mistake(
            "slots come before blocks.",
            "Tokens of one block stand side by side. `.flatten(0, 1)` on [blocks, slots, …] keeps that; a transpose "
            "before it deals them out in turn.",
            answer_with(join=lambda x: x.transpose(0, 1).flatten(0, 1)),
        ),
        Mistake(
            "the last token is left out.",
            "`[:num_tokens]` keeps num_tokens of them; the position of the last is num_tokens - 1.",
            answer_with(cut=lambda x, n, size: x[: n - 1]),
        ),
    ],
    hints=[
        "`k_cache[blocks]`, with a tensor of block ids, gives these blocks in this order: [how many, block_size, "
        "heads, numbers].",
        "Blocks and slots are to become one dimension, tokens: `.flatten(0, 1)`.",
        "The table may be longer than needed. `needed = -(-num_tokens // block_size)` blocks hold the tokens, and of "
        "the last one only part counts: `[:num_tokens]` at the end.",
    ],
    rights=[gather, gather_by_slot, gather_by_loop, gather_by_index],
    why="One index brings the blocks into the order of the text, `flatten` makes a row of tokens, and the cut drops "
    "what the last block does not hold yet. The copy is what this costs: every step moves all keys and values once "
    "more. In lesson 08 a kernel reads the blocks where they are.",
)
