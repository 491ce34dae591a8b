"""The model's probabilities before each token that it generated, as plain data for a view."""

import torch

from course_lib.kvcache import Recompute

from .sampling import SamplingParams, distribution


@torch.inference_mode()
def record_choices(model, tokenizer, prompt, new_tokens, params=SamplingParams(), shown=8):
    """(texts of all tokens, one step for each new token): the arguments of `viz.next_token_probabilities`.

    prompt, new_tokens: lists of token ids. One forward pass over the whole sequence gives every row of logits, since
    no token sees later ones. A step is a dictionary: `position` of the token in the sequence; `chosen`, its text;
    `candidates`, the likeliest tokens and the chosen one, with `p` (the model's probability) and `q` (the probability
    after temperature, top-k and top-p); `rest` and `rest_q`, the sums of `p` and `q` over all other tokens.
    """
    ids = [*prompt, *new_tokens]
    logits = model(torch.tensor(ids, device=model.device), torch.arange(len(ids), device=model.device), Recompute())
    steps = []
    for position in range(len(prompt), len(ids)):
        row = logits[position - 1]  # the logits at a token are for the token after it
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
                "rest_q": float(q.index_fill(0, named, 0.0).sum()),  # a sum: exactly 0 where all others are cut off
            }
        )
    return [tokenizer.token_text(i) for i in ids], steps
