"""Answers to 01.sample: two right ones written differently, and the parts of the wrong ones."""

import itertools

import torch

from course_lib.practice.judge.running import Raised

from .solutions.sample import sample


def sample_one_by_one(logits, temperature, top_k, top_p, draw):
    """The same in plain Python: from the most likely token on, until top_p is reached."""
    if temperature == 0:
        return max(range(len(logits)), key=lambda token: (logits[token].item(), -token))
    weights = torch.exp((logits - logits.max()) / temperature).tolist()
    order = sorted(range(len(weights)), key=lambda token: -weights[token])[:top_k]
    total, kept, mass = sum(weights[t] for t in order), [], 0.0
    for token in order:
        kept.append(token)
        mass += weights[token] / total
        if top_p is not None and mass >= top_p:
            break
    norm = sum(weights[t] for t in kept)
    return draw(torch.tensor([weights[t] / norm if t in kept else 0.0 for t in range(len(weights))]))


def sample_by_threshold(logits, temperature, top_k, top_p, draw):
    """As vLLM's torch version: masks by value, so that all tokens equal to the k-th stay."""
    if temperature == 0:
        return int(logits.argmax())
    scaled = logits / temperature
    if top_k is not None and top_k < len(logits):
        scaled = scaled.masked_fill(scaled < scaled.topk(top_k).values[-1], -torch.inf)
    if top_p is not None:
        rising, order = scaled.sort()
        cut = rising.softmax(-1).cumsum(-1) <= 1 - top_p
        cut[-1] = False
        scaled = scaled.index_fill(0, order[cut], -torch.inf)
    return draw(scaled.softmax(-1))


# From here on: wrong answers, made of steps, each of which can be wrong.
def p_cut(probs, top_p, from_below=False, beyond=False):
    """`probs` with the tokens outside top-p set to 0, not renormalised.

    beyond: the sum has to be above top_p.
    """
    if top_p is None:
        return probs
    ordered, order = probs.sort(descending=not from_below, stable=True)
    before = torch.cat([torch.zeros(1), ordered.cumsum(-1)[:-1]])
    cut = before > top_p if beyond else before >= top_p
    return torch.zeros_like(probs).scatter(0, order, torch.where(cut, torch.zeros(()), ordered))


def p_cut_without_crossing(probs, top_p, at_line, leave_one, skip_all):
    """As p_cut, but the token that crosses the line is cut too.

    at_line: a token with which the sum is exactly top_p crosses the line. leave_one: the most likely token
    always stays. skip_all: top_p=1 cuts nothing.
    """
    if top_p is None or (skip_all and top_p >= 1):
        return probs
    ordered, order = probs.sort(descending=True, stable=True)
    reached = ordered.cumsum(-1)
    cut = reached >= top_p if at_line else reached > top_p
    if leave_one:
        cut[0] = False
    return torch.zeros_like(probs).scatter(0, order, torch.where(cut, torch.zeros(()), ordered))


def k_cut(probs, top_k):
    if top_k is None or top_k >= len(probs):
        return probs
    keep = probs.sort(descending=True, stable=True).indices[: max(top_k, 0)]
    return torch.zeros_like(probs).scatter(0, keep, probs[keep])


def normal(probs):
    return probs / probs.sum()


def sampler(shape):
    """A sampler that passes shape(logits, temperature, top_k, top_p) to draw(), and is greedy at temperature 0."""

    def answer(logits, temperature, top_k, top_p, draw):
        if temperature == 0:
            return int(logits.argmax())
        return draw(shape(logits, temperature, top_k, top_p))

    return answer


def softened(logits, t, k=None, p=None):
    return (logits / t).softmax(-1)


def right_shape(logits, t, k, p):
    return normal(p_cut(normal(k_cut(softened(logits, t), k)), p))


def without_crossing():
    """Samplers for all the ways to drop the token that crosses the line."""
    for how in itertools.product((False, True), repeat=3):
        yield sampler(
            lambda x, t, k, p, how=how: normal(p_cut_without_crossing(normal(k_cut(softened(x, t), k)), p, *how))
        )


def p_at_temperature_one(logits, t, k, p):
    kept = p_cut(logits.softmax(-1), p) > 0
    return normal(k_cut(softened(logits, t) * kept, k))


def draws_index(logits, temperature, top_k, top_p, draw):
    """Draws an index of the sorted tokens, and looks its id up afterwards."""
    if temperature == 0:
        return int(logits.argmax())
    ordered, order = right_shape(logits, temperature, top_k, top_p).sort(descending=True, stable=True)
    return int(order[draw(ordered[ordered > 0])])


def draws_from_the_kept(logits, temperature, top_k, top_p, draw):
    if temperature == 0:
        return int(logits.argmax())
    probabilities = right_shape(logits, temperature, top_k, top_p)
    kept = probabilities.nonzero().flatten()
    return int(kept[draw(probabilities[kept])])


def never_greedy(logits, temperature, top_k, top_p, draw):
    return draw(right_shape(logits, temperature, top_k, top_p))


def greedy_by_draw(logits, temperature, top_k, top_p, draw):
    if temperature > 0:
        return draw(right_shape(logits, temperature, top_k, top_p))
    return draw(torch.nn.functional.one_hot(logits.argmax(), len(logits)).float())


def greedy_below(least):
    """A sampler that is greedy below a temperature of `least`."""

    def answer(logits, temperature, top_k, top_p, draw):
        return sample(logits, 0 if temperature < least else temperature, top_k, top_p, draw)

    return answer


def crash_on_large_k(logits, temperature, top_k, top_p, draw):
    if temperature > 0 and top_k is not None:
        torch.topk(logits, top_k)
    return sample(logits, temperature, top_k, top_p, draw)


def writes_into_logits(logits, temperature, top_k, top_p, draw):
    if temperature > 0:
        logits /= temperature
    return sample(logits, 1.0 if temperature else 0, top_k, top_p, draw)


def zeroed_logits(logits, t, k, p):
    cut = right_shape(logits, t, k, p) == 0
    return torch.where(cut, torch.zeros(()), logits / t).softmax(-1)


def raises_low_temperatures(answer, found):
    """Whether it draws at two very low temperatures from the same, and divides by a temperature of 0.5."""
    logits, given = torch.tensor([0.02, 0.0]), []
    for temperature in (0.5, 0.005, 0.0025):
        answer(logits.clone(), temperature, None, None, lambda p: given.append(p) or 0)
    if len(given) < 3 or not given[0].allclose(softened(logits, 0.5)):
        return False
    return given[1].allclose(given[2]) and float(given[1].min()) > 0


def divides_by_zero(answer, found):
    """Whether temperature 0 gave nan or a ZeroDivisionError. Which numbers are nan differs from answer to answer."""
    if not any(f"temperature={zero}," in found.story[-1] for zero in ("0", "0.0")):
        return False
    if isinstance(found.outcome, Raised):
        return found.outcome.kind == "ZeroDivisionError"
    given, _ = found.outcome
    return any(isinstance(p, torch.Tensor) and bool(p.isnan().any()) for p in given)


def in_another_order(_, found):
    """Whether `draw` got the right probabilities, at other ids."""
    if isinstance(found.outcome, Raised) or not isinstance(found.outcome, tuple):
        return False
    (given, _), (right, _) = found.outcome, found.trial.outcome(sample, timed=False)[0]
    if len(given) != 1 or len(right) != 1 or not isinstance(given[0], torch.Tensor):
        return False
    if given[0].shape != right[0].shape or given[0].allclose(right[0]):
        return False
    return given[0].sort().values.allclose(right[0].sort().values, atol=1e-5)


def gives_fewer(answer, _):
    """Whether `draw` gets fewer probabilities than there are ids."""
    given = []
    for cut in ((1, None), (None, 0.4)):
        answer(torch.tensor([0.0, 2.0, 1.0]), 1.0, *cut, lambda p: given.append(len(p)) or 0)
    return bool(given) and min(given) < 3


def draws_by_itself(answer, found):
    """Whether it returns random tokens without a call of `draw`."""
    calls = []
    tokens = {int(answer(torch.zeros(6), 1.0, None, None, lambda p: calls.append(p) or 0)) for _ in range(20)}
    return not calls and len(tokens) > 1
