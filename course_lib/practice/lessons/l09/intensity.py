"""Cases of 09.intensity: operations, bytes and time of one decode step of a batch."""

from numbers import Real

from course_lib.practice.judge.common_mistakes import NO_DICT, RETURNS_NOTHING, as_python, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .solutions.intensity import intensity


def intensity_text_by_text(model, seq_lens, flops_per_s, bytes_per_s):
    """Adds up text by text, layer by layer."""
    flops, moved = 0, model["num_weights"] * model["itemsize"]
    for length in seq_lens:
        flops += 2 * model["num_weights"]
        for _ in range(model["num_layers"]):
            for head in range(model["num_heads"]):
                flops += 2 * length * model["head_dim"] + 2 * length * model["head_dim"]
            moved += length * model["num_kv_heads"] * model["head_dim"] * model["itemsize"] * 2
    arithmetic, memory = flops / flops_per_s, moved / bytes_per_s
    return dict(
        seconds=arithmetic if arithmetic > memory else memory, intensity=flops / moved, bytes=moved, flops=flops
    )


def intensity_by_ridge(model, seq_lens, flops_per_s, bytes_per_s):
    """Asks on which side of the ridge the step is; floats throughout, some of them in tensors."""
    import torch

    w, size = float(model["num_weights"]), float(model["itemsize"])
    wide = model["num_layers"] * model["head_dim"] * torch.tensor(seq_lens, dtype=torch.float64).sum()
    flops, moved = (
        2 * w * len(seq_lens) + 4 * wide * model["num_heads"],
        size * w + 2 * size * wide * model["num_kv_heads"],
    )
    ratio = flops / moved
    seconds = moved / bytes_per_s if ratio < flops_per_s / bytes_per_s else flops / flops_per_s
    return {"flops": flops, "bytes": moved, "intensity": ratio, "seconds": seconds}


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
    each=lambda seconds, batch: seconds,
):
    """A wrong answer: the right one with a piece replaced."""

    def answer(model, seq_lens, flops_per_s, bytes_per_s):
        batch, wide, size = len(seq_lens), layers(model) * model["head_dim"], model["itemsize"]
        flops = ops * weights(model) * weights_flops(seq_lens) + attention * wide * model[attention_heads] * attended(
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


SMALL = {"num_weights": 100, "num_layers": 1, "num_heads": 2, "num_kv_heads": 1, "head_dim": 4, "itemsize": 2}
DEEP = {"num_weights": 60, "num_layers": 3, "num_heads": 6, "num_kv_heads": 2, "head_dim": 5, "itemsize": 4}
LLAMA = {
    "num_weights": 7_504_658_432,
    "num_layers": 32,
    "num_heads": 32,
    "num_kv_heads": 8,
    "head_dim": 128,
    "itemsize": 2,
}
"""Llama 3 8B in bfloat16, all matrices that a token meets: the embedding is only looked up."""
NAMES = {"small": SMALL, "deep": DEEP, "llama": LLAMA}


def step(name, seq_lens, part=None, flops_per_s=1000, bytes_per_s=100, note=""):
    """The Trial of one decode step, looking at everything or at one number."""
    call = f"intensity({name}, {seq_lens}, {flops_per_s:g}, {bytes_per_s:g})"

    def act(answer):
        got = answer(dict(NAMES[name]), list(seq_lens), flops_per_s, bytes_per_s)
        return as_floats(got if part is None or not isinstance(got, dict) else got[part])

    return Trial(
        [f"{name} = {NAMES[name]}", call if part is None else f'{call}["{part}"]'],
        act,
        show=written,
        note=note,
        size=1000 * len(seq_lens) + sum(seq_lens) + 100 * ("small deep llama".split().index(name)),
    )


def as_floats(got):
    """Numbers of all kinds as floats, so that 4 and 4.0 are alike."""
    if isinstance(got, dict):
        return {key: as_floats(value) for key, value in got.items()}
    got = as_python(got)
    return float(got) if isinstance(got, Real) and not isinstance(got, bool) else got


def written(got):
    if isinstance(got, dict):
        return "{" + ", ".join(f"{key!r}: {written(value)}" for key, value in got.items()) + "}"
    if type(got) is not float:
        return repr(got)
    return f"{got:,.0f}" if got == int(got) and abs(got) < 1e15 else f"{got:.6g}"


def untouched(seq_lens):
    def act(answer):
        model, given = dict(SMALL), list(seq_lens)
        answer(model, given, 1000, 100)
        return model == SMALL and given == list(seq_lens)

    story = [
        f"small = {SMALL}",
        f"seq_lens = {seq_lens}",
        "intensity(small, seq_lens, 1000, 100)",
        f"seq_lens == {seq_lens}  # and small as before",
    ]
    return Trial(story, act, size=1000 * len(seq_lens))


ONE, MANY = [[1], [2], [3], [10]], [[1, 1], [1, 3], [2, 2, 5], [4, 1, 7, 7]]
UNTOUCHED = [untouched([3, 1]), untouched([2, 9, 4]), untouched([5])]
# On this machine the ridge is at 10 operations a byte (1000 / 100), or at 1; batches of both sides of it.
SIDES = [
    (name, lens, f, b)
    for name, lens in (("small", [1]), ("small", [1] * 4), ("deep", [2, 3]), ("deep", [1] * 6), ("small", [5] * 3))
    for f, b in ((1000, 100), (100, 100), (50, 400), (200, 100))
]

INTENSITY = Exercise(
    id="09.intensity",
    title="Operations for each byte",
    name="intensity",
    cases="steps",
    properties=[
        Property(
            "`flops` of one text: two for each weight, and attention over its tokens",
            "Each weight is multiplied once and added once. Each query head takes 2 · head_dim operations for a score, and "
            "as many for a weighted value.",
            [step(name, lens, "flops") for name in ("small", "deep") for lens in ONE],
        ),
        Property(
            "`bytes` of one text: every weight, and its keys and values",
            "All layers, keys and values, each KV head, `itemsize` bytes a number.",
            [step(name, lens, "bytes") for name in ("small", "deep") for lens in ONE],
        ),
        Property(
            "In a batch every text computes with every weight",
            "The work grows with the batch: nobody computes for another.",
            [step(name, lens, "flops") for name in ("small", "deep") for lens in MANY],
        ),
        Property(
            "In a batch the weights are read once, and each text's cache for itself",
            "This is what a batch is for: one reading serves everybody.",
            [step(name, lens, "bytes") for name in ("small", "deep") for lens in MANY],
        ),
        Property(
            "`intensity` is operations for each byte",
            "It says on which side of the roofline's ridge the step is.",
            [step(name, lens, "intensity") for name in ("small", "deep") for lens in (*ONE[:2], *MANY)],
        ),
        Property(
            "`seconds` is the longer of arithmetic and reading",
            "Both go on at the same time, so the slower one decides.",
            [step(name, lens, "seconds", f, b) for name, lens, f, b in SIDES],
        ),
        Property(
            "A dict of the four comes back",
            "`flops`, `bytes`, `intensity` and `seconds`.",
            [step("small", lens) for lens in ([1], [1, 2], [3, 3, 3])],
        ),
        Property(
            "At the size of Llama 3 8B on one H200 the picture is the same",
            "680 TFLOP/s and 4.3 TB/s, as measured for lesson 06.",
            [
                step("llama", [length] * batch, None, 680e12, 4.3e12)
                for batch, length in ((1, 1024), (8, 1), (64, 2048), (256, 100), (400, 10))
            ],
        ),
        Property("The caller's data stay as they were", "They are used for the next step.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        NO_DICT,
        Mistake(
            "the weights are read again for each text.",
            "One reading of a weight serves the whole batch. That is the point of a batch.",
            wrong(weight_reads=lambda batch: batch),
        ),
        Mistake(
            "the batch computes as much as one text.",
            "Reading is shared, computing is not: every text is multiplied with every weight.",
            wrong(weights_flops=lambda seq_lens: 1),
        ),
        Mistake(
            "a product and a sum are counted as one operation.",
            "By convention they are two: 2 operations a weight, 4 · head_dim a token and head.",
            (wrong(ops=1), wrong(ops=1, attention=2), wrong(attention=2)),
        ),
        Mistake(
            "query heads are counted where KV heads are kept.",
            "The cache holds keys and values of `num_kv_heads` heads; groups of query heads share them.",
            wrong(kv_heads="num_heads"),
        ),
        Mistake(
            "KV heads are counted where query heads compute.",
            "Each query head computes its own scores, though it shares its keys with others.",
            wrong(attention_heads="num_kv_heads"),
        ),
        Mistake(
            "query heads and KV heads are exchanged.",
            "Query heads compute, each its own scores. KV heads are kept, and read.",
            wrong(attention_heads="num_kv_heads", kv_heads="num_heads"),
        ),
        Mistake(
            "a decode step is taken for a prefill.",
            "With a cache, a step pushes one token of each text. The others are only attended to.",
            (wrong(weights_flops=sum), wrong(attended=squares), wrong(weights_flops=sum, attended=squares)),
        ),
        Mistake(
            "the newest token is left out.",
            "`seq_lens` has it in it: its key and value are stored first, and it attends to itself.",
            (
                wrong(attended=without_newest, cached=without_newest),
                wrong(cached=without_newest),
                wrong(attended=without_newest),
            ),
        ),
        Mistake(
            "the newest token is counted twice.",
            "`seq_lens` has it in it already.",
            (
                wrong(attended=newest_twice, cached=newest_twice),
                wrong(cached=newest_twice),
                wrong(attended=newest_twice),
            ),
        ),
        Mistake(
            "keys or values are left out of the bytes.",
            "Keys and values are both read: 2 × layers × KV heads × head_dim for each token.",
            wrong(kv=1),
        ),
        Mistake(
            "the cache is left out.",
            "Attention reads all keys and values of the text. In long texts that is more than the weights.",
            wrong(kv=0),
        ),
        Mistake(
            "attention is left out of the operations.",
            "4 × layers × heads × head_dim for each token that is attended to.",
            wrong(attention=0),
        ),
        Mistake(
            "every text is taken for as long as the longest.",
            "Decode steps need no padding: a text reads its own tokens. Add up `seq_lens`.",
            (wrong(attended=padded, cached=padded), wrong(cached=padded), wrong(attended=padded)),
        ),
        Mistake(
            "the cache is counted for one text only.",
            "Each text reads its own keys and values. Nothing of the cache is shared here.",
            (
                wrong(cached=max),
                wrong(cached=lambda lens: lens[0]),
                wrong(attended=max, cached=max),
                wrong(attended=lambda lens: lens[0], cached=lambda lens: lens[0]),
            ),
        ),
        Mistake(
            "layers are forgotten.",
            "Every layer has a cache of its own, and attends: times `num_layers`. The weights are those of all layers "
            "already.",
            wrong(layers=lambda model: 1),
        ),
        Mistake(
            "the weights are taken once for each layer.",
            "`num_weights` are those of all layers already.",
            wrong(weights=lambda model: model["num_weights"] * model["num_layers"]),
        ),
        Mistake(
            "numbers are counted, not bytes.",
            "Each number takes `itemsize` bytes, a weight as well as a key or a value.",
            (wrong(weight_bytes=False, cache_bytes=False), wrong(weight_bytes=False), wrong(cache_bytes=False)),
        ),
        Mistake(
            "the intensity is rounded.",
            "`/`, and nothing after it. Round when you print.",
            (
                wrong(ratio=lambda f, b: f // b),
                *(wrong(ratio=lambda f, b, places=places: round(f / b, places)) for places in (0, 1, 2)),
            ),
        ),
        Mistake(
            "the ratio is turned round.", "Intensity is operations divided by bytes.", wrong(ratio=lambda f, b: b / f)
        ),
        Mistake(
            "the two times are added.",
            "A processor reads the next weights while it computes: the longer of the two counts, `max`.",
            wrong(slower=lambda a, b: a + b),
        ),
        Mistake("the shorter time is taken.", "Whoever is slower decides: `max`.", wrong(slower=min)),
        Mistake(
            "only one of the two times is looked at.",
            "Small batches wait for memory, large ones for arithmetic. Take the longer.",
            (wrong(slower=lambda a, b: b), wrong(slower=lambda a, b: a)),
        ),
        Mistake(
            "the time is divided among the texts.",
            "All of them take the step together, and each waits for the whole of it.",
            wrong(each=lambda seconds, batch: seconds / batch),
        ),
        Mistake(
            "the caller's data are changed.",
            "Count in names of your own; `model` and `seq_lens` are used for the next step.",
            is_made_by=writes_into(UNTOUCHED),
        ),
    ],
    hints=[
        "Count first, divide last. Operations: what one text needs, times the number of texts, plus attention over all tokens. "
        "Bytes: the weights, once, and the cache of all tokens.",
        "`batch, tokens = len(seq_lens), sum(seq_lens)`. Then `flops = 2 * num_weights * batch + 4 * num_layers * num_heads * "
        "head_dim * tokens`.",
        "`moved = (num_weights + 2 * num_layers * num_kv_heads * head_dim * tokens) * itemsize`: the batch is not in front of "
        "the weights.",
        "`intensity = flops / moved`, and `seconds = max(flops / flops_per_s, moved / bytes_per_s)`.",
    ],
    rights=[intensity, intensity_text_by_text, intensity_by_ridge],
    why="`batch` stands in the operations and not beside the weights in the bytes: while the weights are most of what is read, "
    "twice the batch is twice the tokens "
    "in the same time. The cache has no such bargain. Each text reads its own, and in long texts that becomes the larger "
    "part.",
)
