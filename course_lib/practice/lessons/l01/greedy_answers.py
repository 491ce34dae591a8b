"""Answers to 01.greedy: right ones written differently, and wrong ones that are longer than a line."""

import torch


def greedy_argmax(logits):
    return logits.argmax().item()


def greedy_loop(logits):
    best = 0
    for token in range(len(logits)):
        if logits[token] > logits[best]:
            best = token
    return best


def greedy_softmax(logits):
    return int(torch.softmax(logits, -1).argmax())


def in_the_middle(logits):
    """The middle id among equals, as `topk` may return it."""
    equals = (logits == logits.max()).nonzero().flatten()
    return int(equals[len(equals) // 2])


def within_a_thousandth(logits):
    """The first id whose logit is almost as large as the largest."""
    return int(((logits - logits.max()).abs() < 1e-3).nonzero()[0])
