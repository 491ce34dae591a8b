"""The loop of `generate_cached` with a draft model beside it: several tokens a step, and the same text."""

import torch

from course_lib.errors import ParameterError
from course_lib.kvcache import ContiguousCache

from .choosing import ChoiceRows, choose, probabilities, seed_of
from .generate import check_prompt, next_token, stop_ids
from .sampling import SamplingParams, first_largest
from .speculative import num_accepted, rejection_sample


@torch.inference_mode()
def generate_speculative(
    model, draft, token_ids, params=SamplingParams(), *, num_speculative_tokens=4, strict=False, record=None
):
    """New token ids for one prompt. Greedy ones are those of `generate_naive`; sampled ones have their distribution.

    draft: a smaller model with the same vocabulary. num_speculative_tokens: how many tokens it drafts for each run of
    the model. strict: sampled tokens are those of `generate_naive` too, and fewer drafts are accepted. record: a list;
    (drafted, accepted) of each run of the model is appended. Raises ParameterError for what generate_naive refuses, and
    for a draft that does not fit.
    """
    ids = check_prompt(model.config, token_ids, params)
    if draft.config.vocab_size != model.config.vocab_size or num_speculative_tokens < 1:
        raise ParameterError(
            f"The draft has {draft.config.vocab_size} tokens, the model {model.config.vocab_size}, and "
            f"{num_speculative_tokens} are drafted. Take a draft with the same vocabulary, and at least 1 token."
        )
    start, most = len(ids), max(1, len(ids) + params.max_tokens - 1)
    cache, draft_cache = (ContiguousCache(m.config, most, device=m.device, dtype=m.dtype) for m in (model, draft))
    stop, seed = stop_ids(model.config, params), seed_of(params)
    while len(ids) - start < params.max_tokens:
        k = min(num_speculative_tokens, params.max_tokens - (len(ids) - start) - 1)
        drafted, drawn_from = [], []
        for _ in range(k):
            logits = run(draft, ids + drafted, draft_cache, rows=1)
            drafted.append(next_token(logits, params, seed, len(ids) + len(drafted)))
            if params.temperature > 0 and not strict:
                drawn_from.append(probabilities(logits, choice_rows(params, seed, 0, 1, logits.device)))
        logits = run(model, ids + drafted, cache, rows=k + 1)
        kept = check(logits, drafted, drawn_from, params, seed, len(ids))
        if record is not None:
            record.append((k, len(kept) - 1))
        end = next((i for i, token_id in enumerate(kept, 1) if token_id in stop), None)
        ids += kept[:end]
        if end is not None:
            break
        for one in (cache, draft_cache):
            one.shrink(min(one.num_tokens, len(ids) - 1))  # the last token is computed by nobody yet
    return ids[start:]


def run(model, ids, cache, rows):
    """Computes the tokens that are not in the cache. Returns the logits of the last `rows` of them."""
    tokens = torch.tensor(ids[cache.num_tokens :], device=model.device)
    positions = torch.arange(cache.num_tokens, len(ids), device=model.device)
    last = torch.arange(len(tokens) - rows, len(tokens), device=model.device)
    return model(tokens, positions, cache, logits_for=last)


def choice_rows(params, seed, position, count, device):
    """ChoiceRows for tokens at `count` positions from `position` on."""
    return ChoiceRows.of([params] * count, [seed] * count, range(position, position + count), device)


def check(logits, drafted, drawn_from, params, seed, position):
    """The accepted drafts and one token more. logits: [len(drafted) + 1, vocab_size]; drawn_from: the distribution of
    each draft, none where the rule is strict; position: of the first draft.
    """
    if params.temperature == 0:
        chosen = first_largest(logits).tolist()
        return chosen[: 1 + num_accepted([a == b for a, b in zip(chosen, drafted)])]
    rows = choice_rows(params, seed, position, len(logits), logits.device)
    chosen = choose(logits, rows)
    if drawn_from:
        draft, ids = torch.cat(drawn_from), torch.tensor(drafted, device=logits.device)
        target = probabilities(logits, rows)[:-1]
        chosen[:-1], accepted = rejection_sample(target, draft, ids, rows.seed[:-1], rows.position[:-1])
        n = num_accepted(accepted.tolist())
        return chosen[: n + 1].tolist()
    chosen = chosen.tolist()
    return chosen[: 1 + num_accepted([a == b for a, b in zip(chosen, drafted)])]
