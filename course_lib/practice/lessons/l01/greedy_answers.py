"""Answers to 01.greedy: right ones written differently, and wrong ones that are longer than a line."""


def greedy_argmax(logits):
    return logits.argmax().item()


def greedy_loop(logits):
    best = 0
    for token in range(len(logits)):
        if logits[token] > logits[best]:
            best = token
    return best


def search_from(logits, least):
    """The first id whose logit is the largest, if one is above `least`; else 0."""
    best = 0
    for token, logit in enumerate(logits.tolist()):
        if logit > least:
            best, least = token, logit
    return best


def in_the_middle(logits):
    """The middle id among equals, as `topk` may return it."""
    equals = (logits == logits.max()).nonzero().flatten()
    return int(equals[len(equals) // 2])


def within_a_thousandth(logits):
    """The first id whose logit is almost as large as the largest."""
    return int(((logits - logits.max()).abs() < 1e-3).nonzero()[0])
