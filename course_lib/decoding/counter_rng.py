"""Random numbers from a counter: the number for a token is a function of (seed, position, token) and of nothing else.

So a sequence draws the same numbers alone and in any batch, on a CPU and on a GPU, and again after a preemption: there
is no generator with a state that depends on earlier draws. It mixes 32-bit integers, as counter-based generators do.

    key(seed, position) -> two 32-bit words a, b
    bits(token)         =  mix(mix(token ^ a) + b)
    waiting(token)      =  -log(1 - bits / 2**32)             standard exponential

The token with the largest probability / waiting is a draw from the probabilities: each token waits for a random time,
which is shorter for a more likely token, and the first one is chosen. vLLM's sampler draws in the same way. Sources:
Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC '11), for counters; the mixing constants of
"lowbias32", Ch. Wellons (2018).
"""

import torch

MASK = 0xFFFFFFFF
FIRST, SECOND, THIRD = 0x7FEB352D, 0x846CA68B, 0x9E3779B9


def mix(x):
    """Scrambles 32-bit words, held in int64 tensors."""
    x = (x ^ (x >> 16)) * FIRST & MASK
    x = (x ^ (x >> 15)) * SECOND & MASK
    return x ^ (x >> 16)


def keys(seeds, positions):
    """The two words of each draw. seeds, positions: int64 [rows]. Returns two int64 tensors [rows]."""
    a = mix(mix(mix((seeds & MASK) ^ THIRD) ^ (seeds >> 32 & MASK)) ^ (positions & MASK))
    return a, mix((a + THIRD) & MASK)


def uniform_of(a, b):
    """Above 0 and at most 1: float32, of the shape of the words a and b together."""
    return (mix((mix(a) + b) & MASK).float() + 0.5) * 2.0**-32


def uniform(seeds, positions):
    """A number above 0 and at most 1 for every row: float32 [rows]. seeds, positions: int64 [rows]."""
    return uniform_of(*keys(seeds, positions))


def exponential(seeds, positions, vocab_size):
    """A waiting time for every token of every row: float32 [rows, vocab_size], on the device of `seeds`."""
    a, b = keys(seeds, positions)
    tokens = torch.arange(vocab_size, device=seeds.device)
    share = uniform_of(tokens ^ a[:, None], b[:, None])
    # For a small share, log(1 - share) would lose the digits that decide which token is the first.
    near = share * (1 + share * (0.5 + share * (1 / 3)))
    return torch.where(share < 0.01, near, -torch.log1p(-share.clamp(max=1 - 2**-24)))
