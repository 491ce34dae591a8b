"""Cases of 07.grouped_query: query heads that share keys and values, read where they lie."""

import torch

from course_lib.practice.fixtures.attention_variants import whole_matrix
from course_lib.practice.fixtures.tiny_attention import Watch, qkv, size
from course_lib.practice.judge import rungs
from course_lib.practice.judge.agreement import alike
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.running import Raised

from .attention import SLIM, attends, fine, in_programs, row_by_row, small, smalls, untouched
from .attention_mistakes import EARLY, bent, common


def flash_grouped(q, k, v, tile):
    """Causal attention, heads in groups. q: [n, heads, head_dim]; k, v: [m, kv_heads, head_dim]; strided. Returns as q."""
    return row_by_row(q, k, v, causal=True)


def grouped_in_programs(q, k, v, tile):
    return in_programs(q, k, v, tile, causal=True)


def whole(q, k, v, tile):
    return whole_matrix(q.cpu().float(), k.cpu().float(), v.cpu().float(), (tile, tile), True)[0].to(q.dtype)


TURNED = "k, v = (x.transpose(0, 1).contiguous().transpose(0, 1) for x in (k, v))"


def on(n, m, heads=1, kv_heads=1, **options):
    return attends("flash_grouped", n, m, heads=heads, kv_heads=kv_heads, **options)


def copied(q, k, v, tile):
    """Right, and k and v are written down once for each query head."""
    group = q.shape[1] // k.shape[1]
    return in_programs(q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1), tile, causal=True)


def packed(n, heads, kv_heads):
    """q, k and v are slices of one tensor, as a model's projection makes them."""

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


def apart(n, m, heads, kv_heads):
    """k and v are laid out by head, [kv_heads, m, head_dim], and turned."""
    return on(n, m, heads, kv_heads, make=lambda q, k, v: (q, *by_head(k, v)), made=TURNED)


def values_apart(n, m, heads, kv_heads):
    """Only v is laid out by head."""
    return on(
        n,
        m,
        heads,
        kv_heads,
        make=lambda q, k, v: (q, k, v.transpose(0, 1).contiguous().transpose(0, 1)),
        made="v = v.transpose(0, 1).contiguous().transpose(0, 1)",
    )


def by_head(k, v):
    """The same numbers, laid out [kv_heads, m, head_dim], and turned."""
    return tuple(x.transpose(0, 1).contiguous().transpose(0, 1) for x in (k, v))


def in_place(n, m, heads, kv_heads):
    """Whether k and v, which do not lie in one piece here, are read without a copy of either."""

    def call(answer, q, k, v):
        with Watch(but=(q, k, v)) as watch:
            answer(q, k, v, 16)
        return "no tensor as large as k" if size(watch.largest) < k.numel() else f"a tensor of {watch.largest}"

    return rungs.trial(
        [
            "from course_lib.practice.play import Watch, here, qkv",
            f"q, k, v = here(*qkv({n}, {m}, heads={heads}, kv_heads={kv_heads}, head_dim=16))",
            f"{TURNED}  # laid out by head",
            "with Watch(but=(q, k, v)) as watch:",
            "    flash_grouped(q, k, v, tile=16)",
            "watch.largest  # the shape of the largest tensor made, views of q, k and v left out",
        ],
        lambda: (lambda q, k, v: (q, *by_head(k, v)))(*qkv(n, m, heads, kv_heads, 16)),
        call,
        show=str,
        size=10 * (n + m),
        note=f"k has {m * kv_heads * 16:,} numbers",
    )


def in_one_piece(q, k, v, tile):
    return in_programs(
        q,
        k.clone(memory_format=torch.contiguous_format),
        v.clone(memory_format=torch.contiguous_format),
        tile,
        causal=True,
    )


def wrong_heads(kv_heads_of):
    """Keys and values of KV heads that are chosen wrongly: kv_heads_of(head, group, kv_heads) -> (of k, of v)."""
    return lambda q, k, v, tile: in_programs(q, k, v, tile, True, kv_heads_of)


EQUAL = [on(2, 2), on(3, 5), on(2, 2, 2, 2), on(3, 20), on(17, 17, 2, 2)]
GROUPED = [
    on(1, 2, 2, 1),
    on(2, 2, 2, 1),
    on(3, 3, 4, 2),
    on(2, 4, 6, 2),
    on(16, 20, 3, 1),
    on(17, 17, 4, 2),
    on(5, 20, 6, 3),
    packed(4, 4, 2),
    apart(5, 20, 2, 1),
]
VIEWS = [
    packed(2, 1, 1),
    packed(3, 2, 2),
    apart(2, 3, 2, 2),
    packed(17, 1, 1),
    apart(3, 6, 4, 4),
    values_apart(2, 3, 2, 2),
]
TAILS = [on(1, 1, 2, 1), on(1, 17, 4, 2), on(20, 33, 2, 1)]
ENOUGH = [on(17, 17, 2, 2), packed(3, 2, 2), on(17, 17, 4, 2)]
"""Cases in which all heads that are reached by mistake are there."""
BLIND = [on(2, 1, 2, 1), on(3, 1, 2, 1), on(5, 3, 4, 2)]
LARGE = [on(16, 16, 2, 1, times=4.0), on(16, 32, 2, 2, times=4.0), on(5, 20, 4, 2, times=4.0)]
FINE = [fine("flash_grouped")]
HALF = [on(2, 2, 2, 1, half=True), on(5, 20, 4, 2, half=True), on(17, 17, 2, 2, half=True), *FINE]
SMALL = smalls("flash_grouped")
COPIES = [
    small("flash_grouped", 3, 40, heads=3),
    small("flash_grouped", 2, 48, heads=4),
    small("flash_grouped", 2, 48, heads=4, kv_heads=2),
]
IN_PLACE = [in_place(2, 48, 4, 2), in_place(1, 80, 2, 2)]
UNTOUCHED = [untouched("flash_grouped", 1, 1), untouched("flash_grouped", 17, 20, 2, 1)]


def modulo_group(head, group, kv_heads):
    return head % group, head % group


def divided_by_kv_heads(head, group, kv_heads):
    return head // kv_heads, head // kv_heads


def of_a_wrong_head(answer, found):
    """Of faults that reach, in some of the cases, beyond the KV heads that are there: an IndexError in torch, an access outside or another tensor in a kernel."""
    outcome = found.outcome
    if found.trial in GROUPED and getattr(outcome, "kind", "") in ("OutOfBounds", "IndexError"):
        return "q" not in outcome.message.split(" past ")[0].split()
    return any(
        all(alike(one.outcome(wrong_heads(of))[0], one.outcome(answer)[0]) for one in (found.trial, *ENOUGH))
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
            "The causal attention of the exercise before.",
            EQUAL,
        ),
        Property(
            "q, k, v and the result have strides of their own",
            "A model cuts all three from one tensor, and a cache is laid out in its own way.",
            VIEWS,
        ),
        Property(
            "Query heads in a group use the KV head of their group",
            "With 4 query heads over 2 KV heads, heads 0 and 1 use KV head 0, heads 2 and 3 use KV head 1.",
            GROUPED,
        ),
        Property(
            "Last tiles may be shorter", "A row past the end must not write, a key past the end must not count.", TAILS
        ),
        Property("A row that sees no key gives zeros", "Its maximum is -inf, and -inf less -inf is nan.", BLIND),
        Property(
            "Scores of hundreds do not overflow", "The running maximum keeps every exponent at 0 or below.", LARGE
        ),
        Property(
            "float16 comes in and goes out; the sums are float32",
            "Matrix units multiply 16 bits and add up in 32.",
            HALF,
        ),
        Property(*SLIM, SMALL),
        Property(
            "Keys and values are not copied for each query head",
            "A model shares them so that the cache is smaller. Written down once for each head, it is as large as before.",
            COPIES,
        ),
        Property(
            "What is handed in stays as it is", "k and v are the cache: the next step reads them again.", UNTOUCHED
        ),
        Property(
            "Keys and values are read where they lie",
            "In a server they are the cache, and to copy it in every layer of every step costs more than the attention itself.",
            IN_PLACE,
        ),
        *rungs.rungs(on(3, 3, 4, 2), packed(4, 4, 2)),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "keys and values of the wrong head.",
            "Heads of a group stand beside each other: the KV head is head // (heads // kv_heads).",
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
            "keys of one head, values of another.",
            "Both pointers move by head // GROUP, each with its own stride.",
            (
                wrong_heads(lambda head, group, kv_heads: (head // group, head % kv_heads)),
                wrong_heads(lambda head, group, kv_heads: (head // group, 0)),
                wrong_heads(lambda head, group, kv_heads: (head % kv_heads, head // group)),
                wrong_heads(lambda head, group, kv_heads: (0, head // group)),
            ),
        ),
        Mistake(
            "one tensor is read with the strides of another.",
            "Hand in q.stride(0), q.stride(1), k.stride(0), … of each, and those of the result.",
            is_made_by=lambda answer, found: (
                found.trial in VIEWS and getattr(found.outcome, "kind", "OutOfBounds") == "OutOfBounds"
            ),
        ),
        rungs.OUTSIDE,
        Mistake(
            "keys and values are copied for each query head.",
            "`repeat_interleave` writes them down again. Compute the address from head // GROUP instead.",
            copied,
            is_made_by=lambda answer, found: found.trial in COPIES and not isinstance(found.outcome, Raised),
        ),
        Mistake(
            "keys and values are copied into one piece.",
            "`.contiguous()`, `.clone()`, `.reshape()` and `.float()` of a whole k or v write all of it down once more. Take one tile at a time, at the "
            "strides that k and v have.",
            in_one_piece,
            is_made_by=lambda answer, found: found.trial in IN_PLACE and not isinstance(found.outcome, Raised),
        ),
        Mistake(
            "there is no causal mask.", "A row sees only keys at its own position and before.", bent(True, masks=False)
        ),
        Mistake(
            "the mask is counted from the first key.",
            "The queries are the last of the tokens: row i stands at position m - n + i.",
            bent(True, start=lambda n, m: 0),
        ),
        EARLY,
        Mistake(
            "rows that see nothing are nan.",
            "Begin the maximum at -1e30 and not at -inf, and divide by 1 where the sum is 0.",
            (bent(True, guards=False), bent(True, guards_division=False)),
        ),
        *common(True, whole, GROUPED, SMALL, UNTOUCHED, FINE),
    ],
    hints=[
        "Begin with your causal kernel. The grid stays: a program for each *query* head. Only the addresses of k and v change.",
        "GROUP = heads // kv_heads query heads share a KV head. Program `head` reads KV head `head // GROUP`.",
        "Hand in two strides for each tensor: to the next token and to the next head. They differ, as k has fewer heads than q.",
        "q_ptr += head * q_head, k_ptr += head // GROUP * k_head, v_ptr likewise; then a tile is k_ptr + columns[:, None] * k_stride + dims[None, :].",
    ],
    rights=[
        flash_grouped,
        grouped_in_programs,
        *rungs.in_triton("l07.solutions.grouped_query", "flash_grouped"),
        *rungs.in_triton("l07.kernel_answers", "grouped_by_group"),
    ],
    why="Sharing is a matter of addresses: nothing is copied. Programs of one group read the same tiles at about the same time, so that all but the first find "
    "them in the GPU's cache. A decode step goes further, with the whole group in one program: lesson 08.",
    budget_s=rungs.BUDGET_S,
)
