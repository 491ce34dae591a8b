"""The exercise 17.kv_heads: query heads and KV heads of a rank, and the bytes of a token in its cache."""

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Property, Trial

from .kv_heads_mistakes import MISTAKES
from .solutions.kv_heads import heads_of


def heads_of_by_search(rank, num_ranks, num_heads, num_kv_heads, num_layers, head_dim, num_bytes):
    """Looks at every head."""
    each, rest = divmod(num_heads, num_ranks)
    if rest:
        raise ValueError("not evenly")
    queries = [head for head in range(num_heads) if head // each == rank]
    kv = [k for k in range(num_kv_heads) if any(head * num_kv_heads // num_heads == k for head in queries)]
    return queries, kv, sum(2 * head_dim * num_bytes for _ in kv) * num_layers


def heads_of_by_ends(rank, num_ranks, num_heads, num_kv_heads, num_layers, head_dim, num_bytes):
    """From the KV head of the first query head to that of the last one."""
    if num_heads / num_ranks != num_heads // num_ranks:
        raise ValueError(num_ranks)
    first = rank * num_heads // num_ranks
    last = (rank + 1) * num_heads // num_ranks - 1
    group = num_heads // num_kv_heads
    low, high = first // group, last // group
    size = (high - low + 1) * num_layers * head_dim * num_bytes
    return [*range(first, last + 1)], [*range(low, high + 1)], size + size


def heads_of_from_table(rank, num_ranks, num_heads, num_kv_heads, num_layers, head_dim, num_bytes):
    """Cuts the list of all heads into parts."""
    if num_heads % num_ranks != 0:
        raise ValueError("choose another number of ranks")
    each = num_heads // num_ranks
    owner = [(head, head // (num_heads // num_kv_heads)) for head in range(num_heads)]
    mine = owner[rank * each :][:each]
    kv = list(dict.fromkeys(pair[1] for pair in mine))
    return [pair[0] for pair in mine], kv, len(kv) * (2 * num_layers * head_dim * num_bytes)


def of_rank(rank, num_ranks, num_heads, num_kv_heads, *more, note=""):
    """The Trial of one rank. more: layers, head_dim, bytes of a number."""
    given = (rank, num_ranks, num_heads, num_kv_heads, *(more or (1, 1, 1)))
    return Trial(
        [f"heads_of({', '.join(map(str, given))})"],
        lambda answer: answer(*given),
        note=note,
        size=10 * num_heads + num_ranks,
    )


def all_ranks(*shapes, note=""):
    """The Trials of all ranks of some (ranks, query heads, KV heads)."""
    return [of_rank(rank, *shape, note=note) for shape in shapes for rank in range(shape[0])]


KV_HEADS = Exercise(
    id="17.kv_heads",
    title="The heads of a rank, and its share of the KV cache",
    name="heads_of",
    properties=[
        Property(
            "One rank has all heads",
            "Without other ranks nothing is cut.",
            [of_rank(0, 1, 1, 1), of_rank(0, 1, 2, 2), of_rank(0, 1, 4, 2), of_rank(0, 1, 3, 1)],
        ),
        Property(
            "Query heads are cut into equal runs, and each KV head goes where it is read",
            "A query head needs the keys and values of its own KV head, and of no other.",
            all_ranks((2, 2, 2), (2, 4, 2), (2, 4, 4), (3, 6, 3), (2, 8, 4), (4, 8, 4))
            + [of_rank(2, 3, 9, 9, note="ascending: a set has no order")],
        ),
        Property(
            "With more ranks than KV heads, a KV head is held by several ranks",
            "A query head cannot be computed without its keys and values, so each rank holds at least one KV head.",
            all_ranks((2, 2, 1), (4, 4, 2), (4, 8, 2), (6, 6, 3), (8, 8, 2), note="the KV head is held twice or more"),
        ),
        Property(
            "A rank whose query heads read two KV heads holds both",
            "Where neither number divides the other, the run of query heads ends inside a group.",
            all_ranks((2, 6, 3), (3, 12, 4), (6, 12, 4), note="query head h reads KV head h // (heads / KV heads)"),
        ),
        Property(
            "A token takes 2 x layers x KV heads of the rank x head_dim x bytes",
            "A key and a value for each KV head that the rank holds, in each layer.",
            [
                of_rank(0, 1, 1, 1, 1, 1, 1, note="a key and a value"),
                of_rank(0, 1, 2, 2, 3, 8, 2),
                of_rank(1, 2, 4, 2, 3, 8, 2),
                of_rank(3, 4, 4, 2, 3, 8, 2),
                of_rank(0, 4, 4, 1, 5, 16, 4),
                of_rank(1, 6, 12, 4, 5, 8, 2, note="two KV heads"),
            ],
        ),
        Property(
            "The shapes of real models",
            "Llama 3 70B on 1 to 16 GPUs, and a model with one KV head.",
            [*(of_rank(n - 1, n, 64, 8, 80, 128, 2) for n in (1, 2, 8, 16)), of_rank(5, 8, 16, 1, 24, 64, 1)],
        ),
        Property(
            "`ValueError` where the query heads cannot be shared evenly",
            "A rank with fewer heads than the others would let them wait in each layer.",
            [of_rank(0, 2, 3, 3), of_rank(0, 3, 4, 2), of_rank(1, 3, 8, 2), of_rank(0, 8, 4, 2)],
        ),
    ],
    mistakes=[*RETURNS_NOTHING, *MISTAKES],
    hints=[
        "`each = num_heads // num_ranks`. The query heads of a rank are `range(rank * each, (rank + 1) * each)`, as a "
        "list.",
        "Do not cut the KV heads by themselves. Ask each query head of the rank which one it reads: "
        "`head // (num_heads // num_kv_heads)`.",
        "`kv_heads = sorted({head // group for head in query_heads})`: each once, also if several query heads read it.",
        "Bytes: `2 * num_layers * len(kv_heads) * head_dim * num_bytes`. Before all that: "
        "`if num_heads % num_ranks: raise ValueError(...)`.",
    ],
    rights=[heads_of, heads_of_by_search, heads_of_by_ends, heads_of_from_table],
    why="The KV heads follow from the query heads, so replication needs no case of its own. vLLM asks in addition "
    "that one of ranks and KV heads divides the other, so that all ranks hold equally many.",
)
