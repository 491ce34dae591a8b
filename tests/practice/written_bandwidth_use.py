"""Wrong answers to 13.bandwidth_use as people write them; see written_otherwise.py. RIGHT: other right ones."""

from collections import defaultdict
from fractions import Fraction

import numpy as np


def weights_of(c, lens, itemsize):
    return (c.num_parameters - (0 if c.tie_embeddings else (c.vocab_size - len(lens)) * c.hidden_size)) * itemsize


def cache_of(c, lens, itemsize):
    return 2 * c.num_layers * c.num_kv_heads * c.head_dim * sum(lens) * itemsize


def use(weights, cache, share):
    """An answer of three functions. share: of (weights, cache, seconds, bytes_per_s, config)."""

    def answer(config, seq_lens, itemsize, kv_itemsize, seconds, bytes_per_s):
        found = {"weights": weights(config, seq_lens, itemsize), "cache": cache(config, seq_lens, kv_itemsize)}
        return found | {"share": share(*found.values(), seconds, bytes_per_s)}

    return answer


def right_share(weights, cache, seconds, bytes_per_s):
    return (weights + cache) / (seconds * bytes_per_s)


def read_for_each(config, seq_lens, itemsize, kv_itemsize, seconds, bytes_per_s):
    """One sequence after the other, as if each ran alone."""
    weights = sum(weights_of(config, [n], itemsize) for n in seq_lens)
    cache = sum(cache_of(config, [n], kv_itemsize) for n in seq_lens)
    return {"weights": weights, "cache": cache, "share": right_share(weights, cache, seconds, bytes_per_s)}


def all_parameters(c, lens, itemsize):
    return c.num_parameters * itemsize


def tied_the_wrong_way(c, lens, itemsize):
    rows = (c.vocab_size - len(lens)) * c.hidden_size
    return (c.num_parameters - (rows if c.tie_embeddings else 0)) * itemsize


def without_table(c, lens, itemsize):
    return (c.num_parameters - (not c.tie_embeddings) * c.vocab_size * c.hidden_size) * itemsize


def columns_of_the_table(c, lens, itemsize):
    return (c.num_parameters - (not c.tie_embeddings) * (c.hidden_size - len(lens)) * c.vocab_size) * itemsize


def without_norms(c, lens, itemsize):
    layer = 2 * c.hidden_size * c.head_dim * (c.num_heads + c.num_kv_heads) + 3 * c.hidden_size * c.intermediate_size
    rows = 0 if c.tie_embeddings else len(lens) * c.hidden_size
    return (c.num_layers * layer + c.vocab_size * c.hidden_size + rows) * itemsize


def in_blocks(c, lens, itemsize):
    return cache_of(c, [-(-n // 16) * 16 for n in lens], itemsize)


def each_length_once(c, lens, itemsize):
    return cache_of(c, set(lens), itemsize)


def of_the_longest(c, lens, itemsize):
    return cache_of(c, [max(lens)] * len(lens), itemsize)


def of_all_heads(c, lens, itemsize):
    return cache_of(c, lens, itemsize) // c.num_kv_heads * c.num_heads


def of_one_layer(c, lens, itemsize):
    return cache_of(c, lens, itemsize) // c.num_layers


def two_bytes(c, lens, itemsize):
    return cache_of(c, lens, 2)


def before_the_step(c, lens, itemsize):
    return cache_of(c, [n - 1 for n in lens], itemsize)


def whole_share(weights, cache, seconds, bytes_per_s):
    return int((weights + cache) / seconds / bytes_per_s)


def share_in_milliseconds(weights, cache, seconds, bytes_per_s):
    return (weights + cache) / (seconds / 1000) / bytes_per_s


def per_cent(weights, cache, seconds, bytes_per_s):
    return (weights + cache) / seconds / bytes_per_s * 100


def limited(weights, cache, seconds, bytes_per_s):
    return min(1, (weights + cache) / seconds / bytes_per_s)


def empties_the_list(config, seq_lens, itemsize, kv_itemsize, seconds, bytes_per_s):
    weights, tokens = weights_of(config, seq_lens, itemsize), 0
    while seq_lens:
        tokens += seq_lens.pop()
    cache = cache_of(config, [tokens], kv_itemsize)
    return {"weights": weights, "cache": cache, "share": right_share(weights, cache, seconds, bytes_per_s)}


def prints_it(config, seq_lens, itemsize, kv_itemsize, seconds, bytes_per_s):
    print(weights_of(config, seq_lens, itemsize), cache_of(config, seq_lens, kv_itemsize))


def in_a_tuple(config, seq_lens, itemsize, kv_itemsize, seconds, bytes_per_s):
    weights, cache = weights_of(config, seq_lens, itemsize), cache_of(config, seq_lens, kv_itemsize)
    return weights, cache, right_share(weights, cache, seconds, bytes_per_s)


def with_numpy(config, seq_lens, itemsize, kv_itemsize, seconds, bytes_per_s):
    weights = np.int64(weights_of(config, seq_lens, itemsize))
    one = np.array(seq_lens) * config.num_layers * config.num_kv_heads * config.head_dim
    cache = (one + one).sum() * kv_itemsize
    return {"weights": weights, "cache": cache, "share": np.float64(weights + cache) / seconds / bytes_per_s}


def with_fractions(config, seq_lens, itemsize, kv_itemsize, seconds, bytes_per_s):
    weights, cache = weights_of(config, seq_lens, itemsize), cache_of(config, seq_lens, kv_itemsize)
    share = Fraction(weights + cache) / Fraction(seconds) / Fraction(bytes_per_s)
    return dict(weights=float(weights), cache=float(cache), share=share)


def in_a_defaultdict(config, seq_lens, itemsize, kv_itemsize, seconds, bytes_per_s):
    found = defaultdict(int, weights=config.num_parameters * itemsize)
    for n in seq_lens:
        found["cache"] += cache_of(config, [n], kv_itemsize)
    if not config.tie_embeddings:
        found["weights"] += (len(seq_lens) - config.vocab_size) * config.hidden_size * itemsize
    found["share"] = sum(found.values()) / seconds / bytes_per_s
    return found


def rows_of_the_table_at_most(config, seq_lens, itemsize):
    return weights_of(config, seq_lens[: config.vocab_size], itemsize)


RIGHT = {"13.bandwidth_use": [with_numpy, with_fractions, in_a_defaultdict]}
CASES = {
    "13.bandwidth_use": [
        ("read again for each", read_for_each),
        ("whole table", use(all_parameters, cache_of, right_share)),
        ("rows of the embedding are not", use(without_table, cache_of, right_share)),
        ("taken for a table", use(tied_the_wrong_way, cache_of, right_share)),
        (None, use(columns_of_the_table, cache_of, right_share)),
        (None, use(without_norms, cache_of, right_share)),
        (None, use(weights_of, in_blocks, right_share)),
        (None, use(weights_of, each_length_once, right_share)),
        ("as long as the longest", use(weights_of, of_the_longest, right_share)),
        ("query heads", use(weights_of, of_all_heads, right_share)),
        ("one layer", use(weights_of, of_one_layer, right_share)),
        ("newest token is left out", use(weights_of, before_the_step, right_share)),
        (None, use(weights_of, two_bytes, right_share)),
        (None, use(rows_of_the_table_at_most, cache_of, right_share)),
        ("rounded", use(weights_of, cache_of, whole_share)),
        (None, use(weights_of, cache_of, share_in_milliseconds)),
        ("per cent", use(weights_of, cache_of, per_cent)),
        ("cut off at 1", use(weights_of, cache_of, limited)),
        ("list is changed", empties_the_list),
        ("printed, not returned", prints_it),
        ("without their names", in_a_tuple),
    ]
}
