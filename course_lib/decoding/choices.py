"""What the model thought before each token it wrote, as plain data that a view can replay."""

import torch

from course_lib.kvcache import Recompute

from .sampling import SamplingParams, distribution


@torch.inference_mode()
def record_choices(model, tokenizer, prompt, new_tokens, params=SamplingParams(), shown=8):
    """(texts of all tokens, one step for each new token), as `viz.next_token_probabilities` takes them.

    prompt, new_tokens: lists of token ids. One run of the model over the whole text gives every
    row of logits, since a token never sees the ones behind it. A step is a dictionary:
    `position` of the token in the text; `chosen`, its text; `candidates`, the likeliest tokens and
    the chosen one, with `p` (the model's probability) and `q` (what was left of it to draw from
    after temperature, top-k and top-p); `rest` and `rest_q`, the same two of all others together.
    """
    ids = [*prompt, *new_tokens]
    logits = model(torch.tensor(ids, device=model.device), torch.arange(len(ids), device=model.device), Recompute())
    steps = []
    for position in range(len(prompt), len(ids)):
        row = logits[position - 1]  # the row of the token before says what comes here
        p, q = row.softmax(-1), distribution(row, params)
        best = p.topk(shown).indices.tolist()
        if ids[position] not in best:
            best[-1] = ids[position]
        named = torch.tensor(best, device=row.device)
        steps.append(
            {
                "position": position,
                "chosen": tokenizer.token_text(ids[position]),
                "candidates": [{"token": tokenizer.token_text(i), "p": float(p[i]), "q": float(q[i])} for i in best],
                "rest": float(p.index_fill(0, named, 0.0).sum()),
                "rest_q": float(
                    q.index_fill(0, named, 0.0).sum()
                ),  # added up, so that it is exactly 0 when all were cut
            }
        )
    return [tokenizer.token_text(i) for i in ids], steps
