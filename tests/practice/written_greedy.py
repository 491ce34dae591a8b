"""Wrong answers to 01.greedy."""

import random

import torch


def greedy_smallest(logits):
    return min(range(len(logits)), key=lambda i: logits[i])


def greedy_magnitude(logits):
    return int((logits**2).argmax())


def greedy_tensor(logits):
    return torch.max(logits, 0).indices


def greedy_or_equal(logits):
    best = 0
    for i, x in enumerate(logits):
        if x >= logits[best]:
            best = i
    return best


def greedy_score(logits):
    return float(sorted(logits.tolist())[-1])


def greedy_draws(logits):
    return random.choices(range(len(logits)), logits.softmax(-1).tolist())[0]


def greedy_draws_torch(logits):
    return torch.distributions.Categorical(logits=logits).sample().item()


def greedy_from_one(logits):
    return [*enumerate(logits.tolist(), 1)][greedy_right(logits)][0]


def greedy_right(logits):
    return int(logits.argmax())


def greedy_second(logits):
    return int(logits.argsort(descending=True)[min(1, len(logits) - 1)])


def greedy_spoils(logits):
    best = int(logits.argmax())
    logits[best] = float("-inf")
    return best


def greedy_spoils_first(logits):
    best = max(range(len(logits)), key=lambda i: logits[i])
    logits[0] = 9
    return best


def greedy_halves(logits):
    logits /= 2
    return int(logits.argmax())


def greedy_masks(logits):
    for i in range(len(logits)):
        if logits[i] < logits.max():
            logits[i] = -torch.inf
    return int(logits.argmax())


def greedy_shows(logits):
    print(int(logits.argmax()))


def greedy_forgets(logits):
    int(logits.argmax())


def greedy_numpy(logits):
    import numpy

    return numpy.argmax(logits.numpy())


def greedy_float(logits):
    return 1.0 * greedy_right(logits)


def greedy_text(logits):
    return f"{greedy_right(logits)}"


def greedy_max_of_dim(logits):
    return torch.max(logits, dim=-1)


def greedy_of_the_last(logits):
    last = logits[-1]
    return torch.argmax(last).item()


def greedy_highest_or_lowest(logits):
    """Settles ties by whether their number is even, as a parallel search might."""
    equals = torch.where(logits == logits.max())[0].tolist()
    return equals[0] if len(equals) % 2 else equals[-1]


def greedy_in_half(logits):
    return int(torch.argmax(logits.to(torch.float16)))


def greedy_rounded(logits):
    values = [round(value, 3) for value in logits.tolist()]
    return values.index(max(values))


def greedy_close_to_the_largest(logits):
    return int(torch.nonzero(torch.isclose(logits, logits.max()))[0])


def greedy_unstable_sort(logits):
    return int(logits.sort(descending=True).indices[0])


CASES = {
    "01.greedy": [
        ("rounded", greedy_in_half),
        ("rounded", greedy_rounded),
        ("rounded", greedy_close_to_the_largest),
        ("sort that is not stable", greedy_unstable_sort),
        ("smallest logit", greedy_smallest),
        ("sign is lost", greedy_magnitude),
        ("a tensor is returned", greedy_tensor),
        ("last id among equals", greedy_or_equal),
        ("largest value is returned", greedy_score),
        ("drawn at random", greedy_draws),
        ("drawn at random", greedy_draws_torch),
        ("counted from 1", greedy_from_one),
        (None, greedy_second),
        ("logits are changed", greedy_spoils),
        ("logits are changed", greedy_spoils_first),
        ("logits are changed", greedy_halves),
        ("logits are changed", greedy_masks),
        ("printed, not returned", greedy_shows),
        ("nothing is returned", greedy_forgets),
        ("not a plain `int`", greedy_numpy),
        ("not a plain `int`", greedy_float),
        ("not a plain `int`", greedy_text),
        ("returned together", greedy_max_of_dim),
        ("only the last logit", greedy_of_the_last),
        ("order of equals", greedy_highest_or_lowest),
    ]
}
