"""The mistakes in 10.pack. Each is the right answer with one part replaced."""

from course_lib.practice.judge.exercise import Mistake

from .solutions.pack import pack


def wrong(
    *,
    tokens=lambda r, n, s: r.token_ids[s : s + n],
    positions=lambda r, n, s, at: range(s, s + n),
    edge=None,
    length=lambda r, n, s: s + n,
    asked=lambda r, n, s: s + n == len(r.token_ids),
    row=lambda at, n, i: at + n - 1,
    order=lambda scheduled: scheduled,
):
    """A wrong answer: the right one with one of its parts replaced."""

    def answer(scheduled):
        made = {key: [] for key in pack([])}
        at = 0
        for i, (r, n) in enumerate(order(scheduled)):
            s = r.num_computed_tokens
            made["token_ids"] += tokens(r, n, s)
            made["positions"] += positions(r, n, s, at)
            made["cu_seqlens_q"].append(at)
            made["seq_lens"].append(length(r, n, s))
            if asked(r, n, s):
                made["logits_for"].append(row(at, n, i))
            at += n
        made["cu_seqlens_q"].append(at)
        if edge:
            made["cu_seqlens_q"] = edge(made["cu_seqlens_q"])
        return made

    return answer


MISTAKES = [
    Mistake(
        "there is a list for each request.",
        "The model gets one row: `+=` puts tokens behind each other, `append` puts a list into the list.",
        (
            wrong(tokens=lambda r, n, s: [r.token_ids[s : s + n]]),
            wrong(
                tokens=lambda r, n, s: [r.token_ids[s : s + n]], positions=lambda r, n, s, at: [list(range(s, s + n))]
            ),
        ),
    ),
    Mistake(
        "the slice ends at n.",
        "`n` says how many, not up to where: `token_ids[start:start + n]`.",
        wrong(tokens=lambda r, n, s: r.token_ids[s:n]),
    ),
    Mistake(
        "the end of the prompt is taken for the end of the text.",
        "Tokens that are written count too: a text that goes on, or is computed anew, is ready where all its `num_tokens` are computed.",
        (
            wrong(asked=lambda r, n, s: s + n == r.num_prompt_tokens),
            wrong(asked=lambda r, n, s: s + n >= r.num_prompt_tokens),
        ),
    ),
    Mistake(
        "logits are asked for single tokens alone.",
        "A prompt whose last token is computed in this step is followed by a token, too.",
        (wrong(asked=lambda r, n, s: n == 1), wrong(asked=lambda r, n, s: n == 1 and s > 0)),
    ),
    Mistake(
        "the tokens are taken from the beginning.",
        "The first `num_computed_tokens` of them are in the cache. What comes next begins there.",
        wrong(tokens=lambda r, n, s: r.token_ids[:n]),
    ),
    Mistake(
        "the last n tokens are taken.",
        "In a chunk in the middle of a prompt these are not the next ones: `token_ids[start:start + n]`.",
        wrong(tokens=lambda r, n, s: r.token_ids[-n:]),
    ),
    Mistake(
        "all tokens that are left are taken, whatever n says.",
        "A long prompt may get a part of the step only. Take n.",
        wrong(tokens=lambda r, n, s: r.token_ids[s:]),
    ),
    Mistake(
        "positions count through the whole row.",
        "The second request does not go on where the first one ends: each counts in its own text.",
        (
            wrong(positions=lambda r, n, s, at: range(at, at + n)),
            wrong(positions=lambda r, n, s, at: range(at + s, at + s + n)),
        ),
    ),
    Mistake(
        "positions begin at 0 in each step.",
        "A token that is written at place 7 has position 7, although it is alone in this step: begin at "
        "`num_computed_tokens`.",
        wrong(positions=lambda r, n, s, at: range(n)),
    ),
    Mistake(
        "positions are one too high.",
        "The first token has position 0.",
        wrong(positions=lambda r, n, s, at: range(s + 1, s + n + 1)),
    ),
    Mistake(
        "`cu_seqlens_q` holds lengths, not places.",
        "Add them up: each entry is where a request begins.",
        wrong(edge=lambda edges: [b - a for a, b in zip(edges, edges[1:])]),
    ),
    Mistake(
        "`cu_seqlens_q` does not begin with 0.",
        "The first request begins at row 0; with its end there is one entry more than requests.",
        wrong(edge=lambda edges: edges[1:]),
    ),
    Mistake(
        "the end is missing in `cu_seqlens_q`.",
        "The last request has an end too: one entry more than there are requests.",
        wrong(edge=lambda edges: edges[:-1]),
    ),
    Mistake(
        "`seq_lens` counts the new tokens alone.",
        "Attention reads all keys of the text, those in the cache too.",
        wrong(length=lambda r, n, s: n),
    ),
    Mistake(
        "`seq_lens` counts tokens that are not computed yet.",
        "After a chunk of a prompt the cache holds `num_computed_tokens + n` tokens; behind them are no keys to be read.",
        wrong(length=lambda r, n, s: len(r.token_ids)),
    ),
    Mistake(
        "`seq_lens` leaves out the new tokens.",
        "Their keys and values are written before anybody looks: a token sees itself.",
        (wrong(length=lambda r, n, s: s), wrong(length=lambda r, n, s: s + n - 1)),
    ),
    Mistake(
        "logits are asked for where a prompt is not at its end.",
        "In the middle of a prompt the next token is known already: it is in the prompt.",
        wrong(asked=lambda r, n, s: True),
    ),
    Mistake(
        "logits are asked for at all rows.",
        "Only the last row of a text says what comes next.",
        lambda scheduled: pack(scheduled) | {"logits_for": list(range(sum(n for _, n in scheduled)))},
    ),
    Mistake(
        "`logits_for` is one row too far.",
        "`cu_seqlens_q[i + 1]` is where the next request begins; the last row is the one before.",
        wrong(row=lambda at, n, i: at + n),
    ),
    Mistake(
        "`logits_for` counts rows within each request.",
        "The logits are of the whole row of tokens: add where the request begins.",
        wrong(row=lambda at, n, i: n - 1),
    ),
    Mistake(
        "`logits_for` counts requests, not rows.",
        "A prompt brings several rows. Its last one is asked for.",
        wrong(row=lambda at, n, i: i),
    ),
    Mistake(
        "the requests come in another order.",
        "Logits and tables are matched with requests by their order. Keep it.",
        (
            wrong(order=lambda scheduled: sorted(scheduled, key=lambda pair: pair[1])),
            wrong(order=lambda scheduled: sorted(scheduled, key=lambda pair: -pair[1])),
            wrong(order=lambda scheduled: scheduled[::-1]),
        ),
    ),
]
