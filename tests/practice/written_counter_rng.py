"""Wrong answers to 13.counter_rng as people write them; see written_otherwise.py. RIGHT: other right ones."""

import hashlib
import random

import torch

from course_lib.decoding.counter_rng import mix

MASK = 0xFFFFFFFF


def good_key(seeds, positions):
    return mix(mix(mix((seeds & MASK) ^ 77) ^ (seeds >> 32)) ^ positions)


def bits_of(key, vocab):
    return mix(key[:, None] ^ mix(torch.arange(vocab) + 1))


def race(logits, bits):
    return (logits.double().softmax(-1) / -((bits.double() + 0.5) / 2**32).log()).argmax(-1)


def with_key(key):
    return lambda logits, seeds, positions: race(logits, bits_of(key(seeds, positions), logits.shape[1]))


def with_logits(change):
    def answer(logits, seeds, positions):
        return race(change(logits), bits_of(good_key(seeds, positions), logits.shape[1]))

    return answer


def row_by_row(seed_of, pick=torch.multinomial):
    """A torch.Generator of its own for each row."""

    def answer(logits, seeds, positions):
        tokens = []
        for row, seed, position in zip(logits.double(), seeds.tolist(), positions.tolist()):
            generator = torch.Generator().manual_seed(seed_of(seed, position))
            tokens.append(int(pick(row.softmax(-1), 1, generator=generator)))
        return torch.tensor(tokens)

    return answer


def race_in_float32(logits, seeds, positions):
    share = bits_of(good_key(seeds, positions), logits.shape[1]).float() / 2**32
    return (logits.float().softmax(-1) / -share.log()).argmax(-1)


def largest_of_the_batch(logits, seeds, positions):
    bits = bits_of(good_key(seeds, positions), logits.shape[1])
    return ((logits.double() - logits.max()).exp() / -((bits.double() + 0.5) / 2**32).log()).argmax(-1)


def one_multinomial(logits, seeds, positions):
    return torch.multinomial(logits.double().softmax(-1), 1)[:, 0]


def gumbel_of_rand(logits, seeds, positions):
    uniform = torch.rand(logits.shape, dtype=torch.float64).clamp(min=1e-12)
    return (logits.double() - (-uniform.log()).log()).argmax(-1)


def seeds_python(logits, seeds, positions):
    tokens = []
    for row, seed, position in zip(logits.double(), seeds.tolist(), positions.tolist()):
        random.seed(f"{seed}:{position}")
        tokens.append(random.choices(range(len(row)), row.softmax(-1).tolist())[0])
    return torch.tensor(tokens)


def first_row_decides(logits, seeds, positions):
    generator = torch.Generator().manual_seed(int(good_key(seeds, positions)[0]))
    noise = torch.rand(logits.shape, generator=generator, dtype=torch.float64)
    return (logits.double().softmax(-1) / -noise.clamp(min=1e-12).log()).argmax(-1)


def first_and_rows(seeds, positions):
    return mix(good_key(seeds, positions) + torch.arange(len(seeds)) & MASK)


def sixteen_numbers(logits, seeds, positions):
    bits = bits_of(good_key(seeds, positions), logits.shape[1]) & 15
    return (logits.double().softmax(-1) / -((bits.double() + 0.5) / 16).log()).argmax(-1)


def greedy_where_sure(logits, seeds, positions):
    chances = logits.double().softmax(-1)
    return torch.where(chances.amax(-1) > 0.9, chances.argmax(-1), by_cumulative_sum(logits, seeds, positions))


def first_thousand(logits, seeds, positions):
    return by_cumulative_sum(logits[:, :1000].clone(), seeds, positions)


def one_number_for_all(logits, seeds, positions):
    key = good_key(seeds, positions)
    return race(logits, key[:, None].expand(logits.shape))


def masks_in_place(logits, seeds, positions):
    logits.masked_fill_(logits < -1e30, -1e4)
    return with_key(good_key)(logits, seeds, positions)


def uniform_race(logits, seeds, positions):
    uniform = (bits_of(good_key(seeds, positions), logits.shape[1]).double() + 0.5) / 2**32
    return (uniform / logits.double().softmax(-1)).argmin(-1)


def probability_times_chance(logits, seeds, positions):
    uniform = (bits_of(good_key(seeds, positions), logits.shape[1]).double() + 0.5) / 2**32
    return (uniform * logits.double().softmax(-1)).argmax(-1)


def over_columns(logits, seeds, positions):
    bits = bits_of(good_key(seeds, positions), logits.shape[1])
    return (logits.double().softmax(-1) / -((bits.double() + 0.5) / 2**32).log()).argmax(0)


def kept_in_two_dimensions(logits, seeds, positions):
    return with_key(good_key)(logits, seeds, positions).unsqueeze(1)


def unnormalised(logits, seeds, positions):
    weights, bits = logits.float().exp(), bits_of(good_key(seeds, positions), logits.shape[1])
    return (weights / weights.sum(-1, keepdim=True) / -((bits.double() + 0.5) / 2**32).log()).argmax(-1)


def by_hash(seed, position):
    return int.from_bytes(hashlib.sha256(f"{seed},{position}".encode()).digest()[:7], "big")


def by_cumulative_sum(logits, seeds, positions):
    """One number for each row, and the token in whose part of the line it falls."""
    share = (good_key(seeds, positions).double() + 0.5) / 2**32
    reached = logits.double().softmax(-1).cumsum(-1)
    return torch.searchsorted(reached / reached[:, -1:], share[:, None])[:, 0]


def in_float32(logits, seeds, positions):
    """23 bits of each word, so that the share with its half is exact in float32."""
    key = good_key(seeds, positions)
    bits = mix((mix(torch.arange(logits.shape[-1]) ^ key[:, None]) + mix(key ^ 5)[:, None]) & MASK)
    share = ((bits >> 9).float() + 0.5) * 2.0**-23
    return (logits.float() - torch.log(-torch.log(share))).argmax(dim=-1)


def position_with_token(put):
    """The position goes into the word of the token, and not into the key of the row."""

    def answer(logits, seeds, positions):
        tokens = put(torch.arange(logits.shape[1])[None], positions[:, None])
        return race(logits, mix(good_key(seeds, 0)[:, None] ^ mix(tokens + 1)))

    return answer


def not_mixed_again(logits, seeds, positions):
    return race(logits, good_key(seeds, positions)[:, None] ^ mix(torch.arange(logits.shape[1]) + 1))


def in_doubles(seeds, positions):
    return mix(mix(mix((seeds.double().long() & MASK) ^ 77) ^ (seeds >> 32)) ^ positions)


RIGHT = {"13.counter_rng": [row_by_row(by_hash), by_cumulative_sum, in_float32]}


def seven_bits(logits, seeds, positions):
    """A byte for each token, as if there were no more in a word."""
    bits = bits_of(good_key(seeds, positions), logits.shape[1]) >> 25 << 25
    return race(logits, bits)


CASES = {
    "13.counter_rng": [
        ("calls before", one_multinomial),
        ("calls before", gumbel_of_rand),
        ("own generator is seeded", seeds_python),
        ("together before they are scrambled", row_by_row(lambda seed, position: (seed + position) % 2**62)),
        ("position is not part", row_by_row(lambda seed, position: seed)),
        ("seed is not part", row_by_row(lambda seed, position: position)),
        ("depends on its batch", first_row_decides),
        ("depends on its batch", with_key(first_and_rows)),
        ("together before they are scrambled", with_key(lambda seeds, positions: mix((seeds ^ positions) & MASK))),
        ("upper bits", with_key(lambda seeds, positions: mix(mix(seeds & MASK) ^ positions))),
        ("upper bits", with_key(lambda seeds, positions: mix(mix((seeds << 31 | positions) & MASK) ^ seeds & MASK))),
        ("same number", one_number_for_all),
        (None, sixteen_numbers),
        ("two halves of the seed", with_key(lambda seeds, positions: mix(mix(seeds & MASK ^ seeds >> 32) ^ positions))),
        ("seed is rounded", with_key(lambda seeds, positions: good_key(seeds.to(torch.float32).long(), positions))),
        ("few different values", seven_bits),
        ("upper bits of the position", with_key(lambda seeds, positions: good_key(seeds, positions & 0xFFFF))),
        (None, greedy_where_sure),
        (None, first_thousand),
        (None, with_logits(lambda logits: logits.double() / 0.8)),
        (None, with_logits(lambda logits: logits.double().softmax(-1))),
        ("logits are ignored", with_logits(torch.zeros_like)),
        ("tensors are changed", masks_in_place),
        ("times are uniform", uniform_race),
        ("multiplied by the random", probability_times_chance),
        ("exp of a large logit", unnormalised),
        (None, over_columns),
        ("u is 0 or 1", race_in_float32),
        ("depends on its batch", largest_of_the_batch),
        ("another shape", kept_in_two_dimensions),
        ("position and token are put together", position_with_token(torch.bitwise_xor)),
        ("position and token are put together", position_with_token(torch.add)),
        ("not scrambled", not_mixed_again),
        ("seed is rounded", with_key(in_doubles)),
    ]
}
