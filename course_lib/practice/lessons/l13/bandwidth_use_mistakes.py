"""The mistakes in 13.bandwidth_use. Each is the right answer with one part replaced."""

from course_lib.practice.judge.exercise import Mistake


def table(c):
    return c.vocab_size * c.hidden_size


def wrong(
    *,
    tied=lambda c, batch: c.num_parameters,
    untied=lambda c, batch: c.num_parameters - table(c) + batch * c.hidden_size,
    times=lambda batch: 1,
    kinds=2,
    heads=lambda c: c.num_kv_heads,
    layers=lambda c: c.num_layers,
    head_dim=lambda c: c.head_dim,
    tokens=sum,
    size=lambda itemsize, kv_itemsize: itemsize,
    kv_size=lambda itemsize, kv_itemsize: kv_itemsize,
    share=lambda weights, cache, seconds, bandwidth: (weights + cache) / seconds / bandwidth,
    gives=lambda found: found,
):
    """A wrong answer: the right one with one part replaced."""

    def answer(config, seq_lens, itemsize, kv_itemsize, seconds, bytes_per_s):
        batch = len(seq_lens)
        weights = (tied if config.tie_embeddings else untied)(config, batch) * times(batch)
        cache = kinds * layers(config) * heads(config) * head_dim(config) * tokens(seq_lens)
        weights, cache = weights * size(itemsize, kv_itemsize), cache * kv_size(itemsize, kv_itemsize)
        found = {"weights": weights, "cache": cache, "share": share(weights, cache, seconds, bytes_per_s)}
        return gives(found)

    return answer


def every_row(config, seq_lens, itemsize, kv_itemsize, seconds, bytes_per_s):
    rows = sum(seq_lens)
    right = wrong(untied=lambda c, batch: c.num_parameters - table(c) + rows * c.hidden_size)
    return right(config, seq_lens, itemsize, kv_itemsize, seconds, bytes_per_s)


MISTAKES = [
    Mistake(
        "the weights are read again for each sequence.",
        "One reading of a matrix serves all sequences of the step. Only rows of the embedding are read for each.",
        (
            wrong(times=lambda batch: batch),
            wrong(
                tied=lambda c, batch: batch * c.num_parameters,
                untied=lambda c, batch: batch * (c.num_parameters - table(c) + c.hidden_size),
            ),
        ),
    ),
    Mistake(
        "the whole table of the embedding is read.",
        "A step looks up one row of the table for each sequence. Without a tied embedding the rest is not touched.",
        (
            wrong(untied=lambda c, batch: c.num_parameters),
            wrong(untied=lambda c, batch: c.num_parameters + batch * c.hidden_size),
        ),
    ),
    Mistake(
        "the rows of the embedding are not counted.",
        "The table is not read, but one row of it for each sequence is: hidden_size numbers.",
        wrong(untied=lambda c, batch: c.num_parameters - table(c)),
    ),
    Mistake(
        "one row of the embedding is counted for the whole batch.",
        "Each sequence has a new token of its own, and so a row of its own.",
        wrong(untied=lambda c, batch: c.num_parameters - table(c) + c.hidden_size),
    ),
    Mistake(
        "a row of the embedding is counted for every token of a sequence.",
        "The earlier tokens are in the cache. A decode step looks up the newest token of each sequence.",
        every_row,
    ),
    Mistake(
        "a tied embedding is taken for a table that is not read.",
        "Tied means that the head uses the same matrix. The head is read as a whole to make the logits.",
        (
            wrong(tied=lambda c, batch: c.num_parameters - table(c)),
            wrong(tied=lambda c, batch: c.num_parameters - table(c) + batch * c.hidden_size),
        ),
    ),
    Mistake(
        "rows of a tied embedding are counted again.",
        "They are rows of the matrix of the head, which is counted already.",
        wrong(tied=lambda c, batch: c.num_parameters + batch * c.hidden_size),
    ),
    Mistake(
        "the head of a tied embedding is counted as a second matrix.",
        "Tied means one matrix for both. `config.num_parameters` counts it once, and so does the step.",
        wrong(tied=lambda c, batch: c.num_parameters + table(c)),
    ),
    Mistake(
        "the head is left out.",
        "The embedding and the head are two matrices here. Only the embedding is a table to look up; the head is "
        "multiplied with every sequence.",
        (
            wrong(untied=lambda c, batch: c.num_parameters - 2 * table(c) + batch * c.hidden_size),
            wrong(untied=lambda c, batch: c.num_parameters - 2 * table(c)),
        ),
    ),
    Mistake(
        "only keys are counted.", "Attention reads the keys for the scores, and then the values: 2.", wrong(kinds=1)
    ),
    Mistake(
        "query heads are counted.",
        "The cache has num_kv_heads heads. Query heads share them.",
        (wrong(heads=lambda c: c.num_heads), wrong(heads=lambda c: 1, head_dim=lambda c: c.hidden_size)),
    ),
    Mistake("one layer is counted.", "Every layer has keys and values of its own.", wrong(layers=lambda c: 1)),
    Mistake(
        "one KV head is counted.", "Every layer has num_kv_heads heads of keys and of values.", wrong(heads=lambda c: 1)
    ),
    Mistake(
        "hidden_size is used for the length of a head.",
        "A key of one head has head_dim numbers. That need not be hidden_size / num_heads.",
        (wrong(head_dim=lambda c: c.hidden_size), wrong(head_dim=lambda c: c.hidden_size // c.num_heads)),
    ),
    Mistake(
        "every sequence is as long as the longest.",
        "The block table ends with the sequence: each is read at its own length.",
        wrong(tokens=lambda lens: len(lens) * max(lens)),
    ),
    Mistake(
        "one sequence is counted.",
        "The cache of every sequence is read: `sum(seq_lens)` tokens.",
        (wrong(tokens=max), wrong(tokens=lambda lens: lens[0]), wrong(tokens=lambda lens: lens[-1])),
    ),
    Mistake(
        "the newest token is left out.",
        "`seq_lens` counts the newest token, and its own key and value are read too.",
        wrong(tokens=lambda lens: sum(lens) - len(lens)),
    ),
    Mistake(
        "the newest token is counted twice.",
        "`seq_lens` includes the newest token.",
        wrong(tokens=lambda lens: sum(lens) + len(lens)),
    ),
    Mistake(
        "the cache is left out.",
        "Every sequence reads its own keys and values in each step.",
        wrong(tokens=lambda n: 0),
    ),
    Mistake(
        "the cache has the bytes of the weights.",
        "A number of the cache takes `kv_itemsize` bytes.",
        wrong(kv_size=lambda itemsize, kv_itemsize: itemsize),
    ),
    Mistake(
        "the weights have the bytes of the cache.",
        "A weight takes `itemsize` bytes.",
        wrong(size=lambda itemsize, kv_itemsize: kv_itemsize),
    ),
    Mistake(
        "`itemsize` and `kv_itemsize` are exchanged.",
        "`itemsize` belongs to the weights, `kv_itemsize` to the cache.",
        wrong(size=lambda itemsize, kv_itemsize: kv_itemsize, kv_size=lambda itemsize, kv_itemsize: itemsize),
    ),
    Mistake(
        "numbers are counted, not bytes.",
        "A weight takes `itemsize` bytes, a number of the cache `kv_itemsize`.",
        (
            wrong(size=lambda itemsize, kv_itemsize: 1, kv_size=lambda itemsize, kv_itemsize: 1),
            wrong(size=lambda itemsize, kv_itemsize: 1),
            wrong(kv_size=lambda itemsize, kv_itemsize: 1),
        ),
    ),
    Mistake(
        "the share is in per cent.",
        "1 is the limit, not 100.",
        wrong(share=lambda weights, cache, s, b: 100 * (weights + cache) / s / b),
    ),
    Mistake(
        "the share is upside down.",
        "Divide what was read by what could have been read in this time: bytes / (seconds · bytes_per_s).",
        (
            wrong(share=lambda weights, cache, s, b: s * b / (weights + cache)),
            wrong(share=lambda weights, cache, s, b: (weights + cache) * s / b),
        ),
    ),
    Mistake(
        "the share is cut off at 1.",
        "A share above 1 shows that something was measured or counted wrongly. Return it as it is.",
        wrong(share=lambda weights, cache, s, b: min(1.0, (weights + cache) / s / b)),
    ),
    Mistake(
        "the share counts the weights alone, or the cache alone.",
        "Both are read in the step: `weights + cache`.",
        (
            wrong(share=lambda weights, cache, s, b: weights / s / b),
            wrong(share=lambda weights, cache, s, b: cache / s / b),
        ),
    ),
    Mistake(
        "the share is a number of bytes a second.",
        "Divide by the bandwidth as well: the share has no unit.",
        wrong(share=lambda weights, cache, s, b: (weights + cache) / s),
    ),
    Mistake(
        "the share is the least time of the step.",
        "`bytes / bytes_per_s` is the least time. The share is that time divided by `seconds`.",
        wrong(share=lambda weights, cache, s, b: (weights + cache) / b),
    ),
    Mistake(
        "the share is rounded.",
        "Return the fraction as it is: 0.37, not 0 and not 0.4.",
        (
            wrong(share=lambda weights, cache, s, b: (weights + cache) / s // b),
            wrong(share=lambda weights, cache, s, b: round((weights + cache) / s / b)),
            wrong(share=lambda weights, cache, s, b: round((weights + cache) / s / b, 1)),
        ),
    ),
]
