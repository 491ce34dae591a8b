"""The mistakes in 17.kv_heads. Each is the right answer with one part replaced."""

from course_lib.practice.judge.exercise import Mistake


def read_by(queries, rank, ranks, heads, kv):
    return sorted({head // (heads // kv) for head in queries})


def even(heads, ranks, kv):
    if heads % ranks:
        raise ValueError


def wrong(
    *,
    queries=lambda rank, ranks, heads: list(range(rank * heads // ranks, (rank + 1) * heads // ranks)),
    kv_heads=read_by,
    size=lambda held, layers, dim, num_bytes, ranks, kv, mine: 2 * layers * len(held) * dim * num_bytes,
    refuses=even,
    gives=lambda mine, held, size: (mine, held, size),
):
    """A wrong answer: the right one with one part replaced."""

    def answer(rank, num_ranks, num_heads, num_kv_heads, num_layers, head_dim, num_bytes):
        refuses(num_heads, num_ranks, num_kv_heads)
        mine = queries(rank, num_ranks, num_heads)
        held = kv_heads(mine, rank, num_ranks, num_heads, num_kv_heads)
        return gives(mine, held, size(held, num_layers, head_dim, num_bytes, num_ranks, num_kv_heads, mine))

    return answer


def own_run(queries, rank, ranks, heads, kv):
    each = kv // ranks
    return list(range(rank * each, (rank + 1) * each))


def own_run_or_one(queries, rank, ranks, heads, kv):
    each = max(1, kv // ranks)
    first = rank * kv // ranks
    return list(range(first, first + each))


def own_run_or_in_turn(queries, rank, ranks, heads, kv):
    return own_run(queries, rank, ranks, heads, kv) if kv >= ranks else [rank % kv]


def run_to_next(queries, rank, ranks, heads, kv):
    first = rank * kv // ranks
    return list(range(first, max(first + 1, (rank + 1) * kv // ranks)))


def of_own_run(queries, rank, ranks, heads, kv):
    return read_by(range(rank * heads // ranks, (rank + 1) * heads // ranks), rank, ranks, heads, kv)


def asserts(heads, ranks, kv):
    assert heads % ranks == 0


def refuses_replication(heads, ranks, kv):
    if heads % ranks or kv % ranks:
        raise ValueError


def refuses_uneven_groups(heads, ranks, kv):
    if heads % ranks or (kv % ranks and ranks % kv):
        raise ValueError


MISTAKES = [
    Mistake(
        "the KV heads are cut by themselves, so that with many ranks some hold none.",
        "With more ranks than KV heads a KV head is held by several ranks. Take the KV heads that the rank's query "
        "heads read: head // (num_heads / num_kv_heads).",
        (wrong(kv_heads=own_run), wrong(kv_heads=lambda q, rank, n, h, kv: list(range(kv))[rank::n])),
    ),
    Mistake(
        "the KV heads are cut by themselves, and one that is read is missing.",
        "Where the run of query heads ends inside a group, a rank reads a KV head that its neighbour reads too. Take "
        "the KV heads that the rank's query heads read.",
        (wrong(kv_heads=own_run_or_one), wrong(kv_heads=run_to_next)),
    ),
    Mistake(
        "KV heads are handed out in turn.",
        "Ranks that follow each other read the same KV head: rank r does not read head r mod num_kv_heads, but the "
        "one of its query heads.",
        (wrong(kv_heads=own_run_or_in_turn), wrong(kv_heads=lambda q, rank, n, h, kv: [rank % kv])),
    ),
    Mistake(
        "every rank holds all KV heads.",
        "Then the cache of a rank would not get smaller with more ranks. Only heads that are read are held.",
        wrong(kv_heads=lambda q, rank, n, h, kv: list(range(kv))),
    ),
    Mistake(
        "query head h is taken to read KV head h mod num_kv_heads.",
        "Groups are runs: the first num_heads / num_kv_heads query heads read KV head 0.",
        wrong(kv_heads=lambda q, rank, n, h, kv: sorted({head % kv for head in q})),
    ),
    Mistake(
        "a KV head is listed once for each query head that reads it.",
        "It is kept once in the cache of the rank. Use a set.",
        wrong(kv_heads=lambda q, rank, n, h, kv: [head // (h // kv) for head in q]),
    ),
    Mistake(
        "the KV heads are numbered from 0 on each rank.",
        "Give their numbers in the model.",
        wrong(kv_heads=lambda q, rank, n, h, kv: list(range(len(read_by(q, rank, n, h, kv))))),
    ),
    Mistake(
        "the query heads are numbered from 0 on each rank.",
        "Give their numbers in the model: rank r begins at r * num_heads / num_ranks.",
        (
            wrong(queries=lambda rank, n, h: list(range(h // n))),
            wrong(gives=lambda mine, held, size: ([head - mine[0] for head in mine], held, size)),
        ),
    ),
    Mistake(
        "query heads are dealt out in turn.",
        "A rank has query heads in a row, so that the heads of a group stay together and the weights are cut into "
        "runs.",
        (
            wrong(queries=lambda rank, n, h: list(range(rank, h, n))),
            wrong(queries=lambda rank, n, h: list(range(rank, h, n)), kv_heads=of_own_run),
        ),
    ),
    Mistake(
        "the number of heads is returned, not which.",
        "Both lists hold the numbers of the heads.",
        wrong(gives=lambda mine, held, size: (len(mine), len(held), size)),
    ),
    Mistake(
        "a token is counted with a key and no value.",
        "Each KV head keeps a key and a value: the factor 2.",
        wrong(size=lambda held, layers, dim, num_bytes, n, kv, mine: layers * len(held) * dim * num_bytes),
    ),
    Mistake(
        "the layers are left out.",
        "Each layer has a cache of its own.",
        wrong(size=lambda held, layers, dim, num_bytes, n, kv, mine: 2 * len(held) * dim * num_bytes),
    ),
    Mistake(
        "the bytes are those of the whole model.",
        "A rank keeps the KV heads that it holds, and no others.",
        wrong(size=lambda held, layers, dim, num_bytes, n, kv, mine: 2 * layers * kv * dim * num_bytes),
    ),
    Mistake(
        "the bytes of the whole model are divided by the number of ranks.",
        "A KV head that is held twice takes memory twice: count the KV heads of this rank.",
        wrong(size=lambda held, layers, dim, num_bytes, n, kv, mine: 2 * layers * kv * dim * num_bytes // n),
    ),
    Mistake(
        "the layers are shared out too.",
        "With tensor parallel each rank has a part of every layer.",
        wrong(size=lambda held, layers, dim, num_bytes, n, kv, mine: 2 * (layers // n) * len(held) * dim * num_bytes),
    ),
    Mistake(
        "the bytes count query heads.",
        "Only keys and values are kept.",
        wrong(size=lambda held, layers, dim, num_bytes, n, kv, mine: 2 * layers * len(mine) * dim * num_bytes),
    ),
    Mistake(
        "the bytes are a float.",
        "They are an int: use `//`.",
        wrong(size=lambda held, layers, dim, num_bytes, n, kv, mine: 2 / 1 * layers * len(held) * dim * num_bytes),
    ),
    Mistake(
        "uneven numbers of query heads are not refused.",
        "Raise `ValueError` if `num_ranks` does not divide `num_heads`.",
        (
            wrong(refuses=lambda heads, ranks, kv: None),
            wrong(
                refuses=lambda heads, ranks, kv: None,
                queries=lambda rank, n, h: list(range(rank * (h // n), (rank + 1) * (h // n))),
            ),
        ),
    ),
    Mistake(
        "another error than `ValueError` is raised.", "Raise `ValueError`, as the page says.", wrong(refuses=asserts)
    ),
    Mistake(
        "more ranks than KV heads, or ranks that do not divide them, are refused.",
        "Only the query heads have to be shared evenly. KV heads are held by several ranks where needed.",
        (wrong(refuses=refuses_replication), wrong(refuses=refuses_uneven_groups)),
    ),
]
