"""07.grouped_query: query heads that share keys and values, which are read without a copy."""

from course_lib.practice.judge import rungs
from course_lib.practice.judge.agreement import alike
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.running import Raised
from course_lib.practice.lessons.kernel_mistakes import STAYS_MEANING, STAYS_TITLE

from .attention import ONE_TILE
from .attention_mistakes import ENDS_EARLY, altered, common, drops_tail, scales_first
from .grouped_query_answers import (
    copied,
    divided_by_kv_heads,
    each_head_copied,
    exchanged,
    flash_grouped,
    grouped_in_programs,
    made_contiguous,
    made_float32,
    modulo_group,
    whole,
    wrong_heads,
)
from .grouped_query_trials import (
    COPIES,
    EQUAL,
    FULLY_MASKED,
    GROUPED,
    HALF,
    IN_PLACE,
    LARGE,
    MANY_SMALL,
    SCALED,
    SKIPS,
    SMALL,
    STAYS,
    TAILS,
    UNTOUCHED,
    VIEWS,
    WITH_ENOUGH_HEADS,
    kv_by_head,
    on,
    packed,
)


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
        Property(
            "Tiles above the diagonal are not loaded",
            "As before: where they hold nan, an answer that loads them returns nan.",
            SKIPS,
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
        scales_first(SCALED),
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
        Mistake(
            "the two strides of a tensor are exchanged.",
            "`stride(0)` leads to the next token, `stride(1)` to the next head. Do the order in the call and in the "
            "kernel's arguments agree?",
            (
                altered(True, reads=lambda q, k, v: (q, exchanged(k), v)),
                altered(True, reads=lambda q, k, v: (q, k, exchanged(v))),
                altered(True, reads=lambda q, k, v: (q, exchanged(k), exchanged(v))),
                altered(True, reads=lambda q, k, v: (exchanged(q), k, v)),
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
            "keys and values, or those of one head, are copied into a contiguous tensor or to another dtype.",
            "`.contiguous()`, `.clone()`, `.reshape()` and `.float()` on a whole k or v, or on a head of it, copy "
            "all of its tokens. Read one tile at a time, with the strides of k and v.",
            (made_contiguous, made_float32, each_head_copied),
            is_made_by=lambda answer, found: found.trial in IN_PLACE and not isinstance(found.outcome, Raised),
        ),
        Mistake(
            "tiles above the diagonal are loaded.",
            "A mask on the scores hides them, but 0 times nan is nan, and the loads cost time. End the loop with the "
            "last key that a row of the program sees.",
            is_made_by=lambda answer, found: found.trial in SKIPS and not isinstance(found.outcome, Raised),
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
