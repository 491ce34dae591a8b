"""The mistakes in 09.intensity. Each is the right answer with one part replaced."""

from course_lib.practice.judge.exercise import Mistake


def wrong(
    *,
    ops=2,
    weights=lambda model: model["num_weights"],
    weights_flops=len,
    attention=4,
    attention_heads="num_heads",
    kv=2,
    kv_heads="num_kv_heads",
    weight_reads=lambda batch: 1,
    attended=sum,
    cached=sum,
    weight_bytes=True,
    cache_bytes=True,
    ratio=lambda f, b: f / b,
    slower=max,
    layers=lambda model: model["num_layers"],
    layers_of_flops=None,
    each=lambda seconds, batch: seconds,
):
    """A wrong answer: the right one with one part replaced."""

    def answer(model, seq_lens, flops_per_s, bytes_per_s):
        batch, wide, size = len(seq_lens), layers(model) * model["head_dim"], model["itemsize"]
        deep = wide if layers_of_flops is None else layers_of_flops * model["head_dim"]
        flops = ops * weights(model) * weights_flops(seq_lens) + attention * deep * model[attention_heads] * attended(
            seq_lens
        )
        moved = weights(model) * weight_reads(batch) * (size if weight_bytes else 1)
        moved += kv * wide * model[kv_heads] * cached(seq_lens) * (size if cache_bytes else 1)
        seconds = each(slower(flops / flops_per_s, moved / bytes_per_s), batch)
        return {"flops": flops, "bytes": moved, "intensity": ratio(flops, moved), "seconds": seconds}

    return answer


def padded(seq_lens):
    return len(seq_lens) * max(seq_lens)


def squares(seq_lens):
    return sum(n * n for n in seq_lens)


def without_newest(seq_lens):
    return sum(seq_lens) - len(seq_lens)


def newest_twice(seq_lens):
    return sum(seq_lens) + len(seq_lens)


MISTAKES = [
    Mistake(
        "the weights are read again for each sequence.",
        "One reading of a weight serves the whole batch. This is what a batch is for.",
        wrong(weight_reads=lambda batch: batch),
    ),
    Mistake(
        "the batch computes as much as one sequence.",
        "Reading is shared, computing is not: every sequence is multiplied with every weight.",
        wrong(weights_flops=lambda seq_lens: 1),
    ),
    Mistake(
        "a product and a sum are counted as one operation.",
        "By convention they are two: 2 operations per weight, 4 · head_dim per token and head.",
        (wrong(ops=1), wrong(ops=1, attention=2), wrong(attention=2)),
    ),
    Mistake(
        "query heads are counted for the cache, instead of KV heads.",
        "The cache holds keys and values of `num_kv_heads` heads; groups of query heads share them.",
        wrong(kv_heads="num_heads"),
    ),
    Mistake(
        "KV heads are counted for the operations, instead of query heads.",
        "Each query head computes its own scores, although it shares its keys with other heads.",
        wrong(attention_heads="num_kv_heads"),
    ),
    Mistake(
        "query heads and KV heads are exchanged.",
        "Each query head computes its own scores. The cache holds KV heads, and these are read.",
        wrong(attention_heads="num_kv_heads", kv_heads="num_heads"),
    ),
    Mistake(
        "a decode step is counted like a prefill.",
        "With a cache, a step computes one token of each sequence. The tokens before it are only attended to.",
        (wrong(weights_flops=sum), wrong(attended=squares), wrong(weights_flops=sum, attended=squares)),
    ),
    Mistake(
        "the newest token is left out.",
        "`seq_lens` includes it: its key and value are stored first, and it attends to itself.",
        (
            wrong(attended=without_newest, cached=without_newest),
            wrong(cached=without_newest),
            wrong(attended=without_newest),
        ),
    ),
    Mistake(
        "the newest token is counted twice.",
        "`seq_lens` includes it already.",
        (wrong(attended=newest_twice, cached=newest_twice), wrong(cached=newest_twice), wrong(attended=newest_twice)),
    ),
    Mistake(
        "keys or values are left out of the bytes.",
        "Keys and values are both read: 2 × layers × KV heads × head_dim for each token.",
        wrong(kv=1),
    ),
    Mistake(
        "the cache is left out.",
        "Attention reads all keys and values of the sequence. For long sequences these are more bytes than the "
        "weights.",
        wrong(kv=0),
    ),
    Mistake(
        "attention is left out of the operations.",
        "4 × layers × heads × head_dim for each token that is attended to.",
        wrong(attention=0),
    ),
    Mistake(
        "every sequence is counted as long as the longest.",
        "Decode steps need no padding: a sequence reads its own tokens. Add up `seq_lens`.",
        (wrong(attended=padded, cached=padded), wrong(cached=padded), wrong(attended=padded)),
    ),
    Mistake(
        "the cache is counted for one sequence only.",
        "Each sequence reads its own keys and values. Nothing of the cache is shared here.",
        (
            wrong(cached=max),
            wrong(cached=lambda lens: lens[0]),
            wrong(attended=max, cached=max),
            wrong(attended=lambda lens: lens[0], cached=lambda lens: lens[0]),
        ),
    ),
    Mistake(
        "the layers are left out.",
        "Every layer has its own cache and its own attention: multiply by `num_layers`. `num_weights` is for all "
        "layers already.",
        (wrong(layers=lambda model: 1), wrong(layers_of_flops=1)),
    ),
    Mistake(
        "the weights are counted once for each layer.",
        "`num_weights` is for all layers already.",
        wrong(weights=lambda model: model["num_weights"] * model["num_layers"]),
    ),
    Mistake(
        "numbers are counted, not bytes.",
        "Each number takes `itemsize` bytes: a weight as well as a number of a key or a value.",
        (wrong(weight_bytes=False, cache_bytes=False), wrong(weight_bytes=False), wrong(cache_bytes=False)),
    ),
    Mistake(
        "the intensity is rounded.",
        "Divide with `/` and return the result as it is. Round when you print.",
        (
            wrong(ratio=lambda f, b: f // b),
            *(wrong(ratio=lambda f, b, places=places: round(f / b, places)) for places in (0, 1, 2)),
        ),
    ),
    Mistake(
        "the time is not in seconds.",
        "`flops_per_s` and `bytes_per_s` are per second, so the quotients are seconds. Convert when you print.",
        (wrong(each=lambda seconds, batch: 1e3 * seconds), wrong(each=lambda seconds, batch: 1e6 * seconds)),
    ),
    Mistake("the ratio is inverted.", "Intensity is operations divided by bytes.", wrong(ratio=lambda f, b: b / f)),
    Mistake(
        "the two times are added.",
        "A processor reads the next weights while it computes: the longer of the two times counts, `max`.",
        wrong(slower=lambda a, b: a + b),
    ),
    Mistake("the shorter time is taken.", "The slower of the two decides: `max`.", wrong(slower=min)),
    Mistake(
        "only one of the two times is used.",
        "Small batches wait for memory, large ones for arithmetic. Take the longer time.",
        (wrong(slower=lambda a, b: b), wrong(slower=lambda a, b: a)),
    ),
    Mistake(
        "the time is divided by the number of sequences.",
        "All sequences take the step together, and each waits for the whole step.",
        wrong(each=lambda seconds, batch: seconds / batch),
    ),
]
