"""Answers for 13.counter_rng: other right ones, and the wrong ones of the list of mistakes."""

import random

import torch

from course_lib.decoding.counter_rng import exponential, mix

MASK = 0xFFFFFFFF


def draw_by_gumbel(logits, seeds, positions):
    """Adds Gumbel noise to the logits. The three parts of the counter go through `mix` one after the other."""
    words = mix((seeds & MASK) ^ 0x1234567)
    for part in (seeds >> 32, positions):
        words = mix(words ^ (part & MASK)) ^ 0x9E3779B9
    noise = mix(mix(torch.arange(logits.shape[1]) + 77)[None, :] ^ words[:, None])
    uniform = (noise.double() + 0.5) / 2**32
    return (logits.double() - (-uniform.log()).log()).argmax(1)


def draw_by_library(logits, seeds, positions):
    """The race with the waiting times of the library."""
    chances = torch.softmax(logits.float(), -1)
    return (chances / exponential(seeds, positions, logits.shape[-1])).max(dim=-1).indices


def draw_by_own_generators(logits, seeds, positions):
    """A generator of its own for each row, made of the seed and the position, and one number from it for each token."""
    tokens = []
    for row, seed, position in zip(logits.double(), seeds.tolist(), positions.tolist()):
        number = random.Random(f"{seed} {position}").random()
        reached = row.softmax(0).cumsum(0)
        token = int(torch.searchsorted(reached, number * reached[-1], right=True))
        tokens.append(min(token, len(row) - 1))
    return torch.tensor(tokens)


def keys(seeds, positions):
    return mix(mix(mix((seeds & MASK) ^ 0x9E3779B9) ^ (seeds >> 32)) ^ positions)


def bits_of(key, vocab):
    return mix(key[:, None] ^ mix(torch.arange(vocab) + 0x85EBCA6B))


def race(logits, waiting):
    return (torch.softmax(logits.double(), -1) / waiting).argmax(1)


def wrong(*, key=keys, bits=bits_of, waiting=lambda u: -u.log(), first=race, gives=lambda tokens: tokens):
    """A wrong answer: the right one with one part replaced."""

    def answer(logits, seeds, positions):
        uniform = (bits(key(seeds, positions), logits.shape[1]).double() + 0.5) / 2**32
        return gives(first(logits, waiting(uniform)))

    return answer


def by_multinomial(logits, seeds, positions):
    return torch.multinomial(logits.float().softmax(-1), 1).flatten()


def by_exponential(logits, seeds, positions):
    return race(logits, torch.empty(logits.shape, dtype=torch.float64).exponential_())


def by_global_seed(logits, seeds, positions):
    """Seeds torch's own generator for each row."""
    tokens = []
    for row, seed, position in zip(logits, seeds.tolist(), positions.tolist()):
        torch.manual_seed(int(mix(torch.tensor(seed & MASK ^ 5)) ^ seed >> 32) * 1_000_003 + position)
        tokens.append(int(torch.multinomial(row.float().softmax(-1), 1)))
    return torch.tensor(tokens)


def by_one_generator(logits, seeds, positions):
    """One generator for the batch, seeded by its first row."""
    generator = torch.Generator().manual_seed(int(keys(seeds, positions)[0]))
    return torch.multinomial(logits.float().softmax(-1), 1, generator=generator).flatten()


def by_row_number(seeds, positions):
    return mix(keys(seeds, positions) ^ torch.arange(len(seeds)))


def by_sum_of_batch(seeds, positions):
    return mix(keys(seeds, positions) ^ (keys(seeds, positions).sum() & MASK))


def unscrambled(key, vocab):
    return (key[:, None] + torch.arange(vocab) * 0x9E3779B9) & MASK


def linear(seeds, positions):
    return (seeds * 747796405 + positions * 2891336453) & MASK


def shared_maximum(logits, waiting):
    """One softmax over the whole batch's columns."""
    return (torch.softmax(logits.double(), 0) / waiting).argmax(1)


def overflows(logits, waiting):
    weights = logits.float().exp()
    return (weights / weights.sum(1, keepdim=True) / waiting).argmax(1)
