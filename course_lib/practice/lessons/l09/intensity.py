"""Cases of 09.intensity: operations, bytes and time of one decode step of a batch."""

from numbers import Real

from course_lib.practice.judge.common_mistakes import NO_DICT, RETURNS_NOTHING, as_python, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .intensity_mistakes import MISTAKES
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
        *MISTAKES,
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
