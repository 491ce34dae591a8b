"""The exercise 10.pack: the tokens of a step as one flat batch."""

from course_lib.engine.request import Request
from course_lib.errors import CourseError
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .pack_mistakes import MISTAKES
from .solutions.pack import pack

KEYS = ("token_ids", "positions", "cu_seqlens_q", "seq_lens", "logits_for")


def pack_by_lists(scheduled):
    """Makes one list after the other."""
    starts = [request.num_computed_tokens for request, _ in scheduled]
    ends = [start + n for start, (_, n) in zip(starts, scheduled)]
    edges = [sum(n for _, n in scheduled[:i]) for i in range(len(scheduled) + 1)]
    return dict(
        token_ids=[request.token_ids[p] for (request, _), a, b in zip(scheduled, starts, ends) for p in range(a, b)],
        positions=[p for a, b in zip(starts, ends) for p in range(a, b)],
        cu_seqlens_q=edges,
        seq_lens=ends,
        logits_for=[edges[i + 1] - 1 for i, (request, _) in enumerate(scheduled) if ends[i] == request.num_tokens],
    )


def pack_tensors(scheduled):
    """In torch."""
    import torch

    n = torch.tensor([n for _, n in scheduled])
    start = torch.tensor([request.num_computed_tokens for request, _ in scheduled])
    ends = n.cumsum(0)
    positions = torch.arange(int(n.sum())) - (ends - n - start).repeat_interleave(n)
    done = start + n == torch.tensor([request.num_tokens for request, _ in scheduled])
    flat = torch.cat([torch.tensor(request.token_ids)[a : a + m] for (request, m), a in zip(scheduled, start.tolist())])
    return {
        "token_ids": flat,
        "positions": positions,
        "cu_seqlens_q": torch.cat([torch.zeros(1, dtype=torch.int64), ends]),
        "seq_lens": start + n,
        "logits_for": ends[done] - 1,
    }


def scheduled_of(sequences):
    """[(request, n)] of (name, token ids, number of computed tokens, n[, number of output tokens])."""
    found = []
    for name, ids, computed, n, *written in sequences:
        read = len(ids) - sum(written)
        request = Request(name, ids[:read])
        request.token_ids += ids[read:]
        request.num_computed_tokens = computed
        found.append((request, n))
    return found


def lists_of(packed):
    """The five results as plain lists, also where they came as tensors or tuples."""
    if not isinstance(packed, dict):
        raise CourseError(f"pack returned {type(packed).__name__}; it must return a dict with {', '.join(KEYS)}.")
    missing = [key for key in KEYS if key not in packed]
    if missing:
        raise CourseError(f"The dict has no {missing[0]!r}. It holds {', '.join(map(repr, packed)) or 'nothing'}.")
    return {key: packed[key].tolist() if hasattr(packed[key], "tolist") else list(packed[key]) for key in KEYS}


def story(sequences, call):
    lines = []
    for name, ids, computed, _, *written in sequences:
        read = len(ids) - sum(written)
        lines.append(
            "; ".join(
                [f"{name} = Request({name!r}, {ids[:read]})"]
                + [f"{name}.token_ids += {ids[read:]}"] * (read < len(ids))
                + [f"{name}.num_computed_tokens = {computed}"] * (computed > 0)
            )
        )
    return [*lines, call.format(", ".join(f"({name}, {n})" for name, _, _, n, *_ in sequences))]


def size(sequences):
    return sum(1000 + 20 * len(ids) + 5 * computed + 10 * n for _, ids, computed, n, *_ in sequences)


def packed(*sequences, key=None, note=""):
    """The Trial of a step. key: the one list of the five that is compared; None: all of them."""

    def act(answer):
        got = lists_of(answer(scheduled_of(sequences)))
        return got if key is None else got[key]

    call = "pack([{}])" + (f"[{key!r}]" if key else "")
    return Trial(story(sequences, call), act, note=note, explain=explain if key is None else None, size=size(sequences))


def explain(expected, got):
    wrong = [key for key in KEYS if expected[key] != got.get(key)]
    return f"Different: {', '.join(f'`{key}`' for key in wrong)}."


def untouched(*sequences):
    """The Trial that compares the requests after the call."""

    def act(answer):
        scheduled = scheduled_of(sequences)
        answer(scheduled)
        return [(request.token_ids, request.num_computed_tokens, n) for request, n in scheduled]

    lines = [
        *story(sequences, "scheduled = [{}]"),
        "pack(scheduled)",
        "[(request.token_ids, request.num_computed_tokens, n) for request, n in scheduled]",
    ]
    return Trial(lines, act, size=size(sequences))


def counts_them(scheduled):
    """Increases num_computed_tokens itself."""
    made = pack(scheduled)
    for request, n in scheduled:
        request.num_computed_tokens += n
    return made


PROMPTS = [
    [("a", [5], 0, 1)],
    [("a", [5, 6], 0, 2)],
    [("a", [5, 6], 0, 2), ("b", [7], 0, 1)],
    [("a", [5, 6, 7], 0, 3), ("b", [8, 9], 0, 2)],
]
DECODES = [[("a", [5, 6], 1, 1)], [("a", [5, 6, 7], 2, 1)], [("a", [5, 6, 7], 2, 1), ("b", [8, 9], 1, 1)]]
MIXED = [
    [("a", [5, 6, 7, 4], 3, 1), ("b", [8, 9], 0, 2)],
    [("a", [3, 4], 0, 2), ("b", [5, 6, 7], 2, 1), ("c", [8, 9, 1, 2], 3, 1)],
]
CHUNKS = [
    [("a", [5, 6, 7], 0, 2)],
    [("a", [5, 6, 7, 8], 1, 2)],
    [("a", [5, 6, 7, 8], 0, 3), ("b", [9, 3], 1, 1)],
    [("a", [1, 2], 1, 1), ("b", [3, 4, 5, 6, 7], 1, 3), ("c", [8, 9], 0, 2)],
    [("a", [4, 3, 2, 1, 5], 2, 2), ("b", [6, 7, 8], 0, 1)],
    [("a", [151_935, 70_000, 40_000], 1, 2), ("b", [128_255], 0, 1)],  # ids of a large vocabulary
]
# Here some tokens are output: a sequence that decodes, and sequences that are computed again, whole or in chunks.
WRITTEN = [
    [("a", [5, 6], 1, 1, 1)],
    [("a", [5, 6, 7, 4], 0, 3, 2)],
    [("a", [5, 6, 7], 0, 3, 1)],
    [("a", [5, 6, 7, 4, 3], 2, 2, 3), ("b", [8, 9, 1], 2, 1, 2)],
    [("a", [5, 6, 7], 0, 2, 1), ("b", [8, 9], 0, 2)],
]
ALL = PROMPTS + DECODES + MIXED + CHUNKS + WRITTEN
LONG = [
    [(name, list(range(base, base + total)), computed, n) for name, base, total, computed, n in rows]
    for rows in (
        [("a", 10, 9, 8, 1), ("b", 30, 7, 0, 7), ("c", 50, 6, 2, 3)],
        [("a", 10, 6, 0, 4), ("b", 30, 5, 4, 1), ("c", 50, 8, 7, 1), ("d", 70, 4, 1, 3)],
        [("a", 10, 12, 5, 6), ("b", 30, 3, 2, 1), ("c", 50, 4, 0, 4), ("d", 70, 9, 3, 6)],
    )
]
UNTOUCHED = [untouched(*sequences) for sequences in (PROMPTS[1], PROMPTS[2], DECODES[1], MIXED[0], CHUNKS[2])]


def changed(answer, found):
    return writes_into(UNTOUCHED)(answer, found)


def only_counted(answer, found):
    return changed(answer, found) and [ids for ids, _, _ in found.outcome] == [
        ids for ids, _, _ in found.trial.outcome(pack)[0]
    ]


def by(key, steps=ALL):
    return [packed(*sequences, key=key) for sequences in steps]


PACK = Exercise(
    id="10.pack",
    title="A step as one flat batch",
    name="pack",
    cases="steps",
    properties=[
        Property(
            "`token_ids` holds the next n tokens of each request, one request after the other",
            "The model gets one row of tokens, without padding, and no token is computed twice.",
            by("token_ids"),
        ),
        Property(
            "`positions` holds the position of each token in its own sequence",
            "RoPE rotates each query and key by its position. With a wrong position, attention computes other scores.",
            by("positions"),
        ),
        Property(
            "`cu_seqlens_q` holds where each request begins in the row, and where the row ends",
            "Attention cuts the row at these places: tokens cu_seqlens_q[i] to cu_seqlens_q[i + 1] - 1 belong to "
            "request i.",
            by("cu_seqlens_q"),
        ),
        Property(
            "`seq_lens` counts the tokens of each sequence, up to its last one of this step",
            "This is how many keys and values each request has in the cache after the new ones are written.",
            by("seq_lens"),
        ),
        Property(
            "`logits_for` holds the last row of each request that has no token left to compute after this step",
            "Only that row predicts the next token. Logits of the other rows would be computed without need.",
            by("logits_for"),
        ),
        Property(
            "`scheduled` and its requests are not changed",
            "It is not known yet whether the step succeeds; `num_computed_tokens` grows after it.",
            UNTOUCHED,
        ),
        Property(
            "All five lists are right together",
            "They describe the same row of tokens.",
            [packed(*sequences) for sequences in LONG],
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "`num_computed_tokens` is increased.",
            "`pack` only describes the step. `num_computed_tokens` grows when the model has run.",
            counts_them,
            is_made_by=only_counted,
        ),
        Mistake(
            "the arguments are changed.",
            "`token_ids` and `scheduled` are the engine's own lists: `+=` and `pop` change them for the engine "
            "too. Begin with a new list.",
            is_made_by=changed,
        ),
        *MISTAKES,
    ],
    hints=[
        "Begin with one request. Its first `start = request.num_computed_tokens` tokens are in the cache; the "
        "next n are `request.token_ids[start:start + n]`.",
        "Go through the requests and extend the row: `token_ids += …`. After that, the request ends in the row at "
        "`len(token_ids)`. The positions of its tokens are `range(start, start + n)`.",
        "After this step `start + n` tokens of the sequence are in the cache: this is its `seq_lens`. If the "
        "sequence has no more tokens, the row `len(token_ids) - 1` goes into `logits_for`.",
        "`cu_seqlens_q = [0]` before the loop, and `cu_seqlens_q.append(len(token_ids))` in it.",
    ],
    rights=[pack, pack_by_lists, pack_tensors],
    why="A request in prefill has many tokens in a step, and a request that decodes has one. The code does not "
    "distinguish the two: both have tokens that are not computed yet. The names are vLLM's; its model runner "
    "builds the same arrays for every step.",
)
