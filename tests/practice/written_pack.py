"""Wrong answers to 10.pack as people write them; see written_otherwise.py."""

import torch

from course_lib.practice.lessons.l10.pack import pack


def pack_all_at_once(scheduled):
    """Forgets n."""
    ids, positions, cu, lens, rows = [], [], [0], [], []
    for r, n in scheduled:
        ids.extend(r.token_ids[r.num_computed_tokens :])
        positions.extend(range(r.num_computed_tokens, r.num_computed_tokens + n))
        cu.append(cu[-1] + n)
        lens.append(r.num_computed_tokens + n)
        if lens[-1] == r.num_tokens:
            rows.append(cu[-1] - 1)
    return {"token_ids": ids, "positions": positions, "cu_seqlens_q": cu, "seq_lens": lens, "logits_for": rows}


def pack_prompt_or_decode(scheduled):
    """Positions from 0 for each request of the step."""
    return {**pack(scheduled), "positions": [i for _, n in scheduled for i in range(n)]}


def pack_arange(scheduled):
    return {**pack(scheduled), "positions": torch.arange(sum(n for _, n in scheduled))}


def pack_no_zero(scheduled):
    total, edges = 0, []
    for _, n in scheduled:
        total += n
        edges.append(total)
    return {**pack(scheduled), "cu_seqlens_q": edges}


def pack_lengths(scheduled):
    return {**pack(scheduled), "seq_lens": [r.num_tokens for r, n in scheduled]}


def pack_last_rows(scheduled):
    made = pack(scheduled)
    return {**made, "logits_for": [end - 1 for end in made["cu_seqlens_q"][1:]]}


def pack_shows(scheduled):
    print(pack(scheduled))


def pack_tuple(scheduled):
    return tuple(pack(scheduled).values())


def pack_padded(scheduled):
    """A rectangle, as in static batching."""
    most = max(n for _, n in scheduled)
    made = pack(scheduled)
    made["token_ids"] = [
        t
        for r, n in scheduled
        for t in (r.token_ids[r.num_computed_tokens : r.num_computed_tokens + n] + [0] * most)[:most]
    ]
    return made


def pack_counts(scheduled):
    made = pack(scheduled)
    for r, n in scheduled:
        r.num_computed_tokens = r.num_computed_tokens + n
    return made


def pack_slices_to_n(scheduled):
    return {**pack(scheduled), "token_ids": [t for r, n in scheduled for t in r.token_ids[r.num_computed_tokens : n]]}


def pack_rows(scheduled):
    """append in place of +=."""
    rows = []
    for r, n in scheduled:
        rows.append(r.token_ids[r.num_computed_tokens :][:n])
    return {**pack(scheduled), "token_ids": rows}


def pack_prompts_end(scheduled):
    """A request is ready as soon as its prompt is computed."""
    ends, at = [], -1
    for r, n in scheduled:
        at += n
        if r.num_computed_tokens + n >= r.num_prompt_tokens:
            ends.append(at)
    return {**pack(scheduled), "logits_for": ends}


def pack_writers(scheduled):
    made = pack(scheduled)
    return {**made, "logits_for": [end - 1 for end, (_, n) in zip(made["cu_seqlens_q"][1:], scheduled) if n == 1]}


def pack_before(scheduled):
    return {**pack(scheduled), "seq_lens": [r.num_computed_tokens + n - 1 for r, n in scheduled]}


def pack_grows(scheduled):
    """Adds the tokens of the other requests to the first request's own list."""
    made = pack(scheduled)
    row = None
    for r, n in scheduled:
        new = r.token_ids if n == r.num_tokens else r.token_ids[r.num_computed_tokens : r.num_computed_tokens + n]
        if row is None:
            row = new
        else:
            row += new
    return {**made, "token_ids": list(row)}


def pack_empties(scheduled):
    made = pack(scheduled)
    while scheduled:
        scheduled.pop()
    return made


CASES = {
    "10.pack": [
        ("are taken, not n", pack_all_at_once),
        ("begin at 0 in each step", pack_prompt_or_decode),
        ("through the whole row", pack_arange),
        ("does not begin with 0", pack_no_zero),
        ("not computed yet", pack_lengths),
        ("in the middle of a prompt", pack_last_rows),
        ("printed, not returned", pack_shows),
        (None, pack_tuple),
        (None, pack_padded),
        ("is increased", pack_counts),
        ("slice of tokens ends at n", pack_slices_to_n),
        ("a list for each", pack_rows),
        ("end of the prompt", pack_prompts_end),
        ("with a single token", pack_writers),
        ("leaves out the new", pack_before),
        ("arguments are changed", pack_grows),
        ("arguments are changed", pack_empties),
    ]
}
