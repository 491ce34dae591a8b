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


def positions_as_rows(scheduled):
    made = pack(scheduled)
    return made | {"logits_for": [made["positions"][row] for row in made["logits_for"]]}


MISTAKES = [
    Mistake(
        "`token_ids` holds a list for each request.",
        "The model gets one row of tokens. `+=` adds the tokens to the row, `append` adds a list as one entry.",
        (
            wrong(tokens=lambda r, n, s: [r.token_ids[s : s + n]]),
            wrong(
                tokens=lambda r, n, s: [r.token_ids[s : s + n]], positions=lambda r, n, s, at: [list(range(s, s + n))]
            ),
        ),
    ),
    Mistake(
        "the slice of tokens ends at n.",
        "`n` is the number of tokens, not the end of the slice: `token_ids[start:start + n]`.",
        wrong(tokens=lambda r, n, s: r.token_ids[s:n]),
    ),
    Mistake(
        "the end of the prompt is taken for the end of the sequence.",
        "Output tokens count too. A sequence that decodes, or is computed again, needs logits when all its "
        "`num_tokens` are computed.",
        (
            wrong(asked=lambda r, n, s: s + n == r.num_prompt_tokens),
            wrong(asked=lambda r, n, s: s + n >= r.num_prompt_tokens),
        ),
    ),
    Mistake(
        "logits are requested only for requests with a single token.",
        "A prompt whose last token is computed in this step also needs its next token.",
        (wrong(asked=lambda r, n, s: n == 1), wrong(asked=lambda r, n, s: n == 1 and s > 0)),
    ),
    Mistake(
        "the tokens are taken from the beginning.",
        "The first `num_computed_tokens` of them are in the cache. The next tokens begin after these.",
        wrong(tokens=lambda r, n, s: r.token_ids[:n]),
    ),
    Mistake(
        "the last n tokens are taken.",
        "For a chunk in the middle of a prompt these are not the next tokens: `token_ids[start:start + n]`.",
        wrong(tokens=lambda r, n, s: r.token_ids[-n:]),
    ),
    Mistake(
        "all tokens that are left are taken, not n.",
        "A long prompt may be computed in chunks. Take the next n tokens.",
        wrong(tokens=lambda r, n, s: r.token_ids[s:]),
    ),
    Mistake(
        "positions count through the whole row.",
        "The positions of the second request do not continue those of the first: each request counts in its own "
        "sequence.",
        (
            wrong(positions=lambda r, n, s, at: range(at, at + n)),
            wrong(positions=lambda r, n, s, at: range(at + s, at + s + n)),
        ),
    ),
    Mistake(
        "positions begin at 0 in each step.",
        "A token at position 7 of its sequence has position 7, although it is the only one of its request in this "
        "step: begin at `num_computed_tokens`.",
        wrong(positions=lambda r, n, s, at: range(n)),
    ),
    Mistake(
        "positions are one too high.",
        "The first token has position 0.",
        wrong(positions=lambda r, n, s, at: range(s + 1, s + n + 1)),
    ),
    Mistake(
        "`cu_seqlens_q` holds lengths, not positions in the row.",
        "Add the lengths up: each entry is where a request begins.",
        wrong(edge=lambda edges: [b - a for a, b in zip(edges, edges[1:])]),
    ),
    Mistake(
        "`cu_seqlens_q` does not begin with 0.",
        "The first request begins at token 0. There is one entry more than there are requests.",
        wrong(edge=lambda edges: edges[1:]),
    ),
    Mistake(
        "the last entry of `cu_seqlens_q` is missing.",
        "The last request has an end too: there is one entry more than there are requests.",
        wrong(edge=lambda edges: edges[:-1]),
    ),
    Mistake(
        "`seq_lens` counts only the new tokens.",
        "Attention reads all keys of the sequence, including those in the cache.",
        wrong(length=lambda r, n, s: n),
    ),
    Mistake(
        "`seq_lens` counts tokens that are not computed yet.",
        "After a chunk of a prompt the cache holds `num_computed_tokens + n` tokens; at later positions there are "
        "no keys yet.",
        wrong(length=lambda r, n, s: len(r.token_ids)),
    ),
    Mistake(
        "`seq_lens` leaves out the new tokens.",
        "Their keys and values are written before attention reads: a token attends to itself.",
        (wrong(length=lambda r, n, s: s), wrong(length=lambda r, n, s: s + n - 1)),
    ),
    Mistake(
        "logits are requested in the middle of a prompt.",
        "There the next token is known already: it is in the prompt.",
        wrong(asked=lambda r, n, s: True),
    ),
    Mistake(
        "logits are requested for all rows.",
        "Only the last row of a sequence predicts its next token.",
        lambda scheduled: pack(scheduled) | {"logits_for": list(range(sum(n for _, n in scheduled)))},
    ),
    Mistake(
        "`logits_for` is one row too high.",
        "`cu_seqlens_q[i + 1]` is where the next request begins; the last row of request i is the row before it.",
        wrong(row=lambda at, n, i: at + n),
    ),
    Mistake(
        "`logits_for` counts rows within each request.",
        "`logits_for` counts in the whole row of tokens: add the row at which the request begins.",
        wrong(row=lambda at, n, i: n - 1),
    ),
    Mistake(
        "`logits_for` holds positions, not rows.",
        "A position counts in the sequence, and a row in this step. A request that decodes at position 9 has one row.",
        positions_as_rows,
    ),
    Mistake(
        "`logits_for` counts requests, not rows.",
        "A prompt has several rows. The last of them is needed.",
        wrong(row=lambda at, n, i: i),
    ),
    Mistake(
        "the order of the requests is changed.",
        "Logits and block tables are matched with requests by their order. Keep it.",
        (
            wrong(order=lambda scheduled: sorted(scheduled, key=lambda pair: pair[1])),
            wrong(order=lambda scheduled: sorted(scheduled, key=lambda pair: -pair[1])),
            wrong(order=lambda scheduled: scheduled[::-1]),
        ),
    ),
]
