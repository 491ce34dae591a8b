"""Cases of 10.pack: the tokens of a step as one flat batch."""

from course_lib.engine.request import Request
from course_lib.errors import CourseError
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .pack_mistakes import MISTAKES
from .solutions.pack import pack

KEYS = ("token_ids", "positions", "cu_seqlens_q", "seq_lens", "logits_for")


def pack_by_lists(scheduled):
    """Each list by itself."""
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


def scheduled_of(texts):
    """[(request, n)] of (name, token ids, computed tokens, n) or with how many of the tokens are written, not read."""
    found = []
    for name, ids, computed, n, *written in texts:
        read = len(ids) - sum(written)
        request = Request(name, ids[:read])
        request.token_ids += ids[read:]
        request.num_computed_tokens = computed
        found.append((request, n))
    return found


def lists_of(packed):
    """A learner's five, whatever holds them, as plain lists."""
    if not isinstance(packed, dict):
        raise CourseError(f"pack returned {type(packed).__name__}, and a dict with {', '.join(KEYS)} is asked for.")
    missing = [key for key in KEYS if key not in packed]
    if missing:
        raise CourseError(f"The dict has no {missing[0]!r}. It holds {', '.join(map(repr, packed)) or 'nothing'}.")
    return {key: packed[key].tolist() if hasattr(packed[key], "tolist") else list(packed[key]) for key in KEYS}


def story(texts, call):
    lines = []
    for name, ids, computed, _, *written in texts:
        read = len(ids) - sum(written)
        lines.append(
            "; ".join(
                [f"{name} = Request({name!r}, {ids[:read]})"]
                + [f"{name}.token_ids += {ids[read:]}"] * (read < len(ids))
                + [f"{name}.num_computed_tokens = {computed}"] * (computed > 0)
            )
        )
    return [*lines, call.format(", ".join(f"({name}, {n})" for name, _, _, n, *_ in texts))]


def size(texts):
    return sum(1000 + 20 * len(ids) + 5 * computed + 10 * n for _, ids, computed, n, *_ in texts)


def packed(*texts, key=None, note=""):
    """The Trial of a step; key: only this list of the five, or all."""

    def act(answer):
        got = lists_of(answer(scheduled_of(texts)))
        return got if key is None else got[key]

    call = "pack([{}])" + (f"[{key!r}]" if key else "")
    return Trial(story(texts, call), act, note=note, explain=explain if key is None else None, size=size(texts))


def explain(expected, got):
    wrong = [key for key in KEYS if expected[key] != got.get(key)]
    return f"Different: {', '.join(f'`{key}`' for key in wrong)}."


def untouched(*texts):
    """The Trial that looks at the requests after the call."""

    def act(answer):
        scheduled = scheduled_of(texts)
        answer(scheduled)
        return [(request.token_ids, request.num_computed_tokens, n) for request, n in scheduled]

    names = ", ".join(name for name, *_ in texts)
    lines = [*story(texts, "pack([{}])"), f"[(r.token_ids, r.num_computed_tokens) for r in [{names}]]"]
    return Trial(lines, act, show=lambda seen: repr([(ids, computed) for ids, computed, _ in seen]), size=size(texts))


def counts_them(scheduled):
    """Adds to num_computed_tokens at once."""
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
]
# Of these some tokens are written already: a text that goes on, and texts that are computed anew, whole or in pieces.
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
UNTOUCHED = [untouched(*texts) for texts in (PROMPTS[1], PROMPTS[2], DECODES[1], MIXED[0], CHUNKS[2])]


def changed(answer, found):
    return writes_into(UNTOUCHED)(answer, found)


def only_counted(answer, found):
    return changed(answer, found) and [ids for ids, _, _ in found.outcome] == [
        ids for ids, _, _ in found.trial.outcome(pack)[0]
    ]


def by(key, steps=ALL):
    return [packed(*texts, key=key) for texts in steps]


PACK = Exercise(
    id="10.pack",
    title="A step as one flat batch",
    name="pack",
    cases="steps",
    properties=[
        Property(
            "`token_ids` holds the next n tokens of each request, one request after the other",
            "The model gets one row of tokens: no padding, nothing computed twice.",
            by("token_ids"),
        ),
        Property(
            "`positions` says where each token stands in its own text",
            "RoPE turns each query and key by its position. A token in the wrong place is another token to the model.",
            by("positions"),
        ),
        Property(
            "`cu_seqlens_q` says where each request begins in the row, and where the row ends",
            "Attention cuts the row at these places: rows cu_seqlens_q[i] to cu_seqlens_q[i + 1] - 1 are request i's.",
            by("cu_seqlens_q"),
        ),
        Property(
            "`seq_lens` counts the tokens of each text, up to the last one of this step",
            "So many keys and values each request has in the cache once the new ones are written.",
            by("seq_lens"),
        ),
        Property(
            "`logits_for` names the last row of each request whose tokens are then all computed",
            "Only that row says what comes next. Logits of the others would be computed for nothing.",
            by("logits_for"),
        ),
        Property(
            "The requests stay as they are",
            "Whether the step succeeds is not known yet; they are counted after it.",
            UNTOUCHED,
        ),
        Property("All five fit each other", "They describe one row of tokens.", [packed(*texts) for texts in LONG]),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the requests are counted further.",
            "`pack` only describes the step. `num_computed_tokens` grows when the model has run.",
            counts_them,
            is_made_by=only_counted,
        ),
        Mistake(
            "what came in is changed.",
            "`token_ids` and `scheduled` are the engine's own lists: `+=` and `pop` change them for everybody. Begin with a list of your own.",
            is_made_by=changed,
        ),
        *MISTAKES,
    ],
    hints=[
        "Begin with one request. Its first `start = request.num_computed_tokens` tokens are in the cache; the next n are "
        "`request.token_ids[start:start + n]`.",
        "Go through the requests and let the row grow: `token_ids += …`. Where a request ends in the row is `len(token_ids)` then. "
        "The positions of its tokens are `range(start, start + n)`.",
        "After this step `start + n` tokens of the text are in the cache: that is its `seq_lens`. If that is all it has, the row "
        "`len(token_ids) - 1` goes into `logits_for`.",
        "`cu_seqlens_q = [0]` before the loop, and `cu_seqlens_q.append(len(token_ids))` in it.",
    ],
    rights=[pack, pack_by_lists, pack_tensors],
    why="A request that reads its prompt brings many tokens, one that writes brings one, and the code does not ask which it is: "
    "both have tokens that are not computed yet. The names are vLLM's; its model runner builds the same arrays for every step.",
)
