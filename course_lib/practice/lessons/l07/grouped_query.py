"""07.grouped_query: query heads that share keys and values, which are read without a copy."""

import torch

from course_lib.practice.fixtures.tiny_attention import Watch, qkv, size
from course_lib.practice.judge import rungs
from course_lib.practice.judge.agreement import alike
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.running import Raised
from course_lib.practice.lessons.kernel_mistakes import STAYS_MEANING, STAYS_TITLE

from .attention import ONE_TILE, attends, large_first, many_small, small, smalls, stays, untouched
from .attention_mistakes import ENDS_EARLY, altered, common, drops_tail
from .grouped_query_answers import (
    copied,
    divided_by_kv_heads,
    flash_grouped,
    grouped_in_programs,
    made_contiguous,
    modulo_group,
    whole,
    wrong_heads,
)

BY_HEAD = "k, v = (x.transpose(0, 1).contiguous().transpose(0, 1) for x in (k, v))"


def on(n, m, heads=1, kv_heads=1, **options):
    return attends("flash_grouped", n, m, heads=heads, kv_heads=kv_heads, **options)


def packed(n, heads, kv_heads):
    """The Trial with q, k and v as slices of one tensor, as the projection of a model makes them."""

    def make(q, k, v):
        return torch.cat([q, k, v], 1).split([heads, kv_heads, kv_heads], 1)

    return on(
        n,
        n,
        heads,
        kv_heads,
        make=make,
        made=f"q, k, v = torch.cat([q, k, v], 1).split([{heads}, {kv_heads}, {kv_heads}], 1)",
    )


def kv_by_head(n, m, heads, kv_heads):
    """The Trial with k and v laid out by head: transposed views of [kv_heads, m, head_dim]."""
    return on(n, m, heads, kv_heads, make=lambda q, k, v: (q, *by_head(k, v)), made=BY_HEAD)


def v_by_head(n, m, heads, kv_heads):
    """The Trial with only v laid out by head."""
    return on(
        n,
        m,
        heads,
        kv_heads,
        make=lambda q, k, v: (q, k, v.transpose(0, 1).contiguous().transpose(0, 1)),
        made="v = v.transpose(0, 1).contiguous().transpose(0, 1)",
    )


def by_head(k, v):
    """k and v as transposed views of [kv_heads, m, head_dim]."""
    return tuple(x.transpose(0, 1).contiguous().transpose(0, 1) for x in (k, v))


def in_place(n, m, heads, kv_heads):
    """The Trial of whether k and v, which are not contiguous here, are read without a copy of either."""

    def call(answer, q, k, v):
        with Watch(but=(q, k, v)) as watch:
            answer(q, k, v, 16)
        return "no tensor as large as k" if size(watch.largest) < k.numel() else f"a tensor of {watch.largest}"

    return rungs.trial(
        [
            "from course_lib.practice.play import Watch, here, qkv",
            f"q, k, v = here(*qkv({n}, {m}, heads={heads}, kv_heads={kv_heads}, head_dim=16))",
            f"{BY_HEAD}  # laid out by head",
            "with Watch(but=(q, k, v)) as watch:",
            "    flash_grouped(q, k, v, tile=16)",
            "watch.largest  # the shape of the largest tensor made, without views of q, k and v",
        ],
        lambda: (lambda q, k, v: (q, *by_head(k, v)))(*qkv(n, m, heads, kv_heads, 16)),
        call,
        show=str,
        size=10 * (n + m),
        note=f"k has {m * kv_heads * 16:,} numbers",
    )


EQUAL = [on(2, 2), on(3, 5), on(2, 2, 2, 2), on(3, 20), on(17, 17, 2, 2)]
GROUPED = [
    on(1, 2, 2, 1),
    on(2, 2, 2, 1),
    on(3, 3, 4, 2),
    on(2, 4, 6, 2),
    on(16, 20, 3, 1),
    on(17, 17, 4, 2),
    on(16, 17, 2, 1),
    on(5, 20, 6, 3),
    packed(4, 4, 2),
    kv_by_head(5, 20, 2, 1),
]
VIEWS = [
    packed(2, 1, 1),
    packed(3, 2, 2),
    kv_by_head(2, 3, 2, 2),
    packed(17, 1, 1),
    kv_by_head(3, 6, 4, 4),
    v_by_head(2, 3, 2, 2),
]
TAILS = [on(1, 1, 2, 1), on(1, 17, 4, 2), on(20, 33, 2, 1)]
WITH_ENOUGH_HEADS = [on(17, 17, 2, 2), packed(3, 2, 2), on(17, 17, 4, 2)]
"""Cases that have all the KV heads that the mistakes below reach."""
FULLY_MASKED = [on(2, 1, 2, 1), on(3, 1, 2, 1), on(5, 3, 4, 2)]
LARGE = [on(16, 16, 2, 1, times=4.0), on(16, 32, 2, 2, times=4.0), on(5, 20, 4, 2, times=4.0)]
MANY_SMALL = [many_small("flash_grouped"), large_first("flash_grouped")]
HALF = [on(2, 2, 2, 1, half=True), on(5, 20, 4, 2, half=True), on(17, 17, 2, 2, half=True), *MANY_SMALL]
SMALL = smalls("flash_grouped")
COPIES = [
    small("flash_grouped", 3, 40, heads=3),
    small("flash_grouped", 2, 48, heads=4),
    small("flash_grouped", 2, 48, heads=4, kv_heads=2),
]
IN_PLACE = [in_place(2, 48, 4, 2), in_place(1, 80, 2, 2)]
STAYS = [stays("flash_grouped", 2, 2), stays("flash_grouped", 17, 20)]
UNTOUCHED = [untouched("flash_grouped", 1, 1), untouched("flash_grouped", 17, 20, 2, 1)]


def of_a_wrong_head(answer, found):
    """is_made_by of wrong KV heads, some of which do not exist in some cases.

    That is an IndexError in torch, and in a kernel an access outside of the tensor, or to other numbers.
    """
    outcome = found.outcome
    if found.trial in GROUPED and getattr(outcome, "kind", "") in ("OutOfBounds", "IndexError"):
        return "q" not in outcome.message.split(" past ")[0].split()
    return any(
        all(alike(one.outcome(wrong_heads(of))[0], one.outcome(answer)[0]) for one in (found.trial, *WITH_ENOUGH_HEADS))
        for of in (modulo_group, divided_by_kv_heads)
    )


GROUPED_QUERY = Exercise(
    id="07.grouped_query",
    title="Query heads that share keys and values",
    name="flash_grouped",
    cases="sizes",
    properties=[
        Property(
            "With as many KV heads as query heads, nothing changes",
            "It is the causal attention of the exercise before.",
            EQUAL,
        ),
        Property(
            "q, k, v and the result each have their own strides",
            "A model slices q, k and v from one tensor, and a KV cache has another layout.",
            VIEWS,
        ),
        Property(
            "Query heads in a group use the KV head of their group",
            "With 4 query heads over 2 KV heads, heads 0 and 1 use KV head 0, heads 2 and 3 use KV head 1.",
            GROUPED,
        ),
        Property(
            "Last tiles may be shorter",
            "Rows after the end must not be written, and keys after the end must have no weight.",
            TAILS,
        ),
        Property(
            "A row that sees no key gives zeros", "Its maximum is -inf, and -inf minus -inf is nan.", FULLY_MASKED
        ),
        Property(
            "Scores of hundreds do not overflow", "The running maximum keeps every exponent at 0 or below.", LARGE
        ),
        Property(
            "Inputs and result are float16, the sums are float32",
            "Matrix units multiply 16-bit numbers and add in 32 bits.",
            HALF,
        ),
        Property(*ONE_TILE, SMALL),
        Property(
            "Keys and values are not copied for each query head",
            "A model shares them to make the KV cache smaller. A copy for each query head makes it as large as before.",
            COPIES,
        ),
        Property("The inputs are not changed", "k and v are the KV cache: the next step reads them again.", UNTOUCHED),
        Property(
            "Keys and values are read without a copy",
            "In a server they are the KV cache. A copy of it in every layer of every step costs more than the "
            "attention itself.",
            IN_PLACE,
        ),
        Property(STAYS_TITLE, STAYS_MEANING, STAYS),
        *rungs.rungs(
            on(3, 3, 4, 2),
            packed(4, 4, 2),
            on(5, 20, 4, 2, half=True),
            orders=[on(20, 20, 3, 1), kv_by_head(5, 20, 6, 2)],
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "keys and values of the wrong KV head are used.",
            "The query heads of a group are adjacent: the KV head is head // (heads // kv_heads).",
            (
                wrong_heads(lambda head, group, kv_heads: (head % kv_heads, head % kv_heads)),
                wrong_heads(lambda head, group, kv_heads: (0, 0)),
                wrong_heads(lambda head, group, kv_heads: (head, head)),
                wrong_heads(modulo_group),
                wrong_heads(divided_by_kv_heads),
            ),
            is_made_by=of_a_wrong_head,
        ),
        Mistake(
            "keys of one KV head are used with values of another.",
            "Both use KV head head // GROUP, each pointer with its own stride.",
            (
                wrong_heads(lambda head, group, kv_heads: (head // group, head % kv_heads)),
                wrong_heads(lambda head, group, kv_heads: (head // group, 0)),
                wrong_heads(lambda head, group, kv_heads: (head % kv_heads, head // group)),
                wrong_heads(lambda head, group, kv_heads: (0, head // group)),
            ),
        ),
        Mistake(
            "one tensor is read with the strides of another.",
            "Pass the strides of each tensor, q.stride(0), q.stride(1), k.stride(0), …, and those of the result.",
            is_made_by=lambda answer, found: (
                found.trial in VIEWS and getattr(found.outcome, "kind", "OutOfBounds") == "OutOfBounds"
            ),
        ),
        rungs.OUTSIDE,
        Mistake(
            "keys and values are copied for each query head.",
            "`repeat_interleave` copies them. Compute the address from head // GROUP instead.",
            copied,
            is_made_by=lambda answer, found: found.trial in COPIES and not isinstance(found.outcome, Raised),
        ),
        Mistake(
            "keys and values are copied into a contiguous tensor.",
            "`.contiguous()`, `.clone()`, `.reshape()` and `.float()` on a whole k or v copy all of it. Read one tile "
            "at a time, with the strides of k and v.",
            made_contiguous,
            is_made_by=lambda answer, found: found.trial in IN_PLACE and not isinstance(found.outcome, Raised),
        ),
        Mistake(
            "there is no causal mask.",
            "A row sees only keys at its own position and before it.",
            altered(True, masks=False),
        ),
        Mistake(
            "the mask counts query positions from the first key.",
            "The queries are the last of the tokens: row i has position m - n + i.",
            altered(True, start=lambda n, m: 0),
        ),
        ENDS_EARLY,
        drops_tail(True),
        Mistake(
            "rows that see no key are nan.",
            "Begin the maximum at -1e30, not at -inf, and divide by 1 where the sum is 0.",
            (altered(True, guards=False), altered(True, guards_division=False)),
        ),
        *common(True, whole, GROUPED, SMALL, UNTOUCHED, MANY_SMALL, STAYS),
    ],
    hints=[
        "Begin with your causal kernel. The grid stays the same: a program for each *query* head. Only the addresses "
        "of k and v change.",
        "GROUP = heads // kv_heads query heads share a KV head. Program `head` reads KV head `head // GROUP`.",
        "Pass two strides for each tensor: to the next token and to the next head. They differ, because k has fewer "
        "heads than q.",
        "q_ptr += head * q_head, k_ptr += head // GROUP * k_head, and v_ptr likewise. Then the addresses of a tile "
        "are k_ptr + columns[:, None] * k_stride + dims[None, :].",
    ],
    rights=[
        flash_grouped,
        grouped_in_programs,
        *rungs.in_triton("l07.solutions.grouped_query", "flash_grouped"),
        *rungs.in_triton("l07.kernel_answers", "grouped_by_group"),
    ],
    why="Query heads share keys and values by computing the same addresses: nothing is copied. The programs of a "
    "group read the same tiles at about the same time, so that all but the first find them in the cache of the "
    "GPU. A decode kernel goes further and takes the whole group in one program: lesson 08.",
    budget_s=rungs.BUDGET_S,
)
