"""The exercise 13.bandwidth_use: the bytes that a decode step must read, and the share of the bandwidth it reached."""

from numbers import Real

from course_lib.models import ModelConfig
from course_lib.practice.judge.agreement import ALSO_IN_FLOAT32
from course_lib.practice.judge.common_mistakes import NO_DICT, RETURNS_NOTHING, as_python, loses_digits, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .bandwidth_use_mistakes import MISTAKES
from .solutions.bandwidth_use import bandwidth_use


def bandwidth_use_matrix_by_matrix(config, seq_lens, itemsize, kv_itemsize, seconds, bytes_per_s):
    """Adds up what is read, one matrix after the other."""
    c, weights, cache = config, 0, 0
    for _ in range(c.num_layers):
        weights += 2 * c.hidden_size * c.num_heads * c.head_dim  # q and o
        weights += 2 * c.hidden_size * c.num_kv_heads * c.head_dim  # k and v
        weights += 3 * c.hidden_size * c.intermediate_size  # gate, up and down
        weights += 2 * c.hidden_size + (2 * c.head_dim if c.qk_norm else 0)
        for length in seq_lens:
            cache += length * c.num_kv_heads * c.head_dim * 2
    weights += c.hidden_size + c.vocab_size * c.hidden_size  # the last norm, and the head
    if c.tie_embeddings is False:
        for _ in seq_lens:
            weights += c.hidden_size
    read = weights * itemsize + cache * kv_itemsize
    return dict(share=read / (seconds * bytes_per_s), cache=cache * kv_itemsize, weights=weights * itemsize)


def bandwidth_use_in_tensors(config, seq_lens, itemsize, kv_itemsize, seconds, bytes_per_s):
    """Sums the lengths in a tensor, and divides what was reached by what is possible."""
    import torch

    lengths = torch.tensor(seq_lens, dtype=torch.int64)
    unread = 0 if config.tie_embeddings else (config.vocab_size - lengths.numel()) * config.hidden_size
    weights = itemsize * (config.num_parameters - unread)
    cache = lengths.sum() * (config.num_layers * config.num_kv_heads * config.head_dim * 2 * kv_itemsize)
    return {"weights": weights, "cache": cache, "share": ((weights + cache) / seconds / bytes_per_s)}


TIED = dict(
    vocab_size=10, hidden_size=4, intermediate_size=6, num_layers=1, num_heads=2, num_kv_heads=1, head_dim=2,
    tie_embeddings=True,
)  # fmt: skip
UNTIED = {**TIED, "tie_embeddings": False}
DEEP = dict(
    vocab_size=12, hidden_size=6, intermediate_size=5, num_layers=3, num_heads=6, num_kv_heads=2, head_dim=4,
    tie_embeddings=False,
)  # fmt: skip
QWEN3 = dict(
    vocab_size=151936, hidden_size=1024, intermediate_size=3072, num_layers=28, num_heads=16, num_kv_heads=8,
    head_dim=128, tie_embeddings=True, qk_norm=True,
)  # fmt: skip
LLAMA_8B = dict(
    vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_layers=32, num_heads=32, num_kv_heads=8,
    head_dim=128, tie_embeddings=False,
)  # fmt: skip
SHAPES = {"tied": TIED, "untied": UNTIED, "deep": DEEP, "qwen3": QWEN3, "llama_8b": LLAMA_8B}


def step(name, seq_lens, part=None, itemsize=2, kv_itemsize=2, seconds=2, bytes_per_s=1000, note=""):
    """The Trial of one decode step. part: the one number that is compared; None: all of them."""

    def act(answer):
        got = answer(ModelConfig(**SHAPES[name]), list(seq_lens), itemsize, kv_itemsize, seconds, bytes_per_s)
        return plain(got if part is None or not isinstance(got, dict) else {part: got[part]})

    call = f"bandwidth_use({name}, {seq_lens}, {itemsize}, {kv_itemsize}, {seconds:g}, {bytes_per_s:g})"
    fields = ", ".join(f"{key}={value}" for key, value in SHAPES[name].items())
    return Trial(
        [
            "from course_lib.models import ModelConfig",
            f"{name} = ModelConfig({fields})",
            call if part is None else f'{call}["{part}"]',
        ],
        act,
        show=lambda got: written(got if part is None or not isinstance(got, dict) else got.get(part)),
        note=note,
        rounding=ALSO_IN_FLOAT32,
        size=1000 * len(seq_lens) + min(999, sum(seq_lens)) + 100 * list(SHAPES).index(name),
    )


def plain(got):
    """Numbers of all types as int (weights, cache) or float (share), so that 4, 4.0 and tensor(4) are equal."""
    if not isinstance(got, dict):
        return got
    return {key: number(as_python(value), float if key == "share" else int) for key, value in got.items()}


def number(value, kind):
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return kind(value) if kind is float or value == int(value) else value


def written(got):
    if isinstance(got, dict):
        return "{" + ", ".join(f"{key!r}: {written(value)}" for key, value in got.items()) + "}"
    return f"{got:,}" if type(got) is int else f"{got:.6g}" if type(got) is float else repr(got)


def untouched(seq_lens):
    def act(answer):
        given = list(seq_lens)
        answer(ModelConfig(**TIED), given, 2, 2, 1, 100)
        return given

    fields = ", ".join(f"{key}={value}" for key, value in TIED.items())
    story = [
        "from course_lib.models import ModelConfig",
        f"tied = ModelConfig({fields})",
        f"seq_lens = {seq_lens}",
        "bandwidth_use(tied, seq_lens, 2, 2, 1, 100)",
        "seq_lens",
    ]
    return Trial(story, act, note="unchanged", size=len(seq_lens))


ONE, MANY = [[1], [3], [10]], [[1, 1], [1, 3], [2, 2, 5], [4, 1, 7, 7]]
UNTOUCHED = [untouched([3]), untouched([3, 1]), untouched([2, 9, 4])]
MILLISECOND = 0.001

BANDWIDTH_USE = Exercise(
    id="13.bandwidth_use",
    title="What a step reads, and how fast",
    name="bandwidth_use",
    cases="steps",
    properties=[
        Property(
            "`weights`: with a tied embedding every weight is read once",
            "The matrix of the embedding is the matrix of the head, which is read as a whole. "
            "`config.num_parameters` counts it once.",
            [step("tied", lens, "weights") for lens in (*ONE, *MANY)] + [step("qwen3", [5], "weights")],
        ),
        Property(
            "`weights`: of an embedding that is a table of its own, one row for each sequence is read",
            "The head is another matrix and is read as a whole. In the table a step looks up its new tokens, and the "
            "other rows are not touched.",
            [step(name, lens, "weights") for name in ("untied", "deep") for lens in (*ONE, *MANY)]
            + [step("untied", [1] * 12, "weights", note="12 sequences read 12 rows, though the table has 10")],
        ),
        Property(
            "`cache`: keys and values of every sequence, each at its own length",
            "In all layers, for each KV head. Blocks are read up to the end of the sequence and no further. Sequences "
            "of the same length count each.",
            [step(name, lens, "cache") for name in ("tied", "untied", "deep") for lens in (*ONE, *MANY)],
        ),
        Property(
            "Counts are exact, however large they are",
            "A count of bytes can be above 2**31, where int32 ends, and float32 has 24 bits only.",
            [step("qwen3", lens, "cache") for lens in ([2_500_001, 843], [4_194_305] * 3, [2**31 - 5, 2**20])],
        ),
        Property(
            "A weight takes `itemsize` bytes, a number of the cache `kv_itemsize`",
            "A cache in 8 bits beside weights in 16 is a common choice. The rows of the embedding are weights.",
            [
                step(name, lens, part, size, kv_size)
                for name, lens in (("tied", [2]), ("untied", [1, 3]), ("deep", [4, 4]))
                for size, kv_size in ((2, 1), (1, 2), (4, 2))
                for part in ("weights", "cache")
            ],
        ),
        Property(
            "`share`: bytes a second that the step read, as a part of the bandwidth",
            "1 is the limit: everything was read once, at full speed. A share above 1 says that something was measured "
            "or counted wrongly, so it is returned as it is. Nothing is rounded.",
            [
                step(name, lens, "share", 2, 1, seconds, bytes_per_s, note=note)
                for name, lens, seconds, bytes_per_s, note in (
                    ("tied", [1], 2, 1000, ""),
                    ("tied", [4], 0.5, 1000, ""),
                    ("tied", [4], 0.1, 1000, "above 1"),
                    ("untied", [2, 3], 4, 500, ""),
                    ("untied", [1] * 6, 0.25, 1000, "above 1"),
                    ("deep", [30, 5], 3, 2000, ""),
                    ("deep", [9], 3, 4000, ""),
                    ("deep", [9, 9, 9], 6, 4000, ""),
                )
            ],
        ),
        Property(
            "A dict of the three numbers is returned",
            "`weights` and `cache` in bytes, and `share`.",
            [step("tied", [1]), step("untied", [1, 2]), step("deep", [3, 3, 3], None, 2, 1)],
        ),
        Property(
            "The same holds for the steps of real models",
            "Shapes of Qwen3 0.6B (a tied embedding) and Llama 3 8B (a table of its own), with 4.3 TB/s.",
            [
                step(name, [length] * batch, None, 2, 2, ms * MILLISECOND, 4.3e12)
                for name, batch, length, ms in (
                    ("qwen3", 1, 768, 1.7),
                    ("qwen3", 64, 843, 2.5),
                    ("qwen3", 256, 843, 8),
                    ("llama_8b", 1, 1024, 4.2),
                    ("llama_8b", 64, 2048, 9),
                    ("llama_8b", 256, 100, 6),
                )  # fmt: skip
            ],
        ),
        Property("The caller's list is not changed", "The engine needs it for the next step.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the caller's list is changed.",
            "`seq_lens` belongs to the caller. Use variables of your own.",
            is_made_by=writes_into(UNTOUCHED),
        ),
        NO_DICT,
        *MISTAKES,
        loses_digits(bandwidth_use),
    ],
    hints=[
        "Three parts: all matrices but the embedding, the rows of the embedding, and the cache. Count numbers first, "
        "and multiply by bytes at the end.",
        "Begin with `config.num_parameters`. With a tied embedding that is all. Otherwise the table, `vocab_size * "
        "hidden_size` numbers, is not read, and `hidden_size` numbers for each sequence are.",
        "The cache: `2 * num_layers * num_kv_heads * head_dim * sum(seq_lens)` numbers, 2 for keys and values.",
        "`share = (weights + cache) / seconds / bytes_per_s`.",
    ],
    rights=[bandwidth_use, bandwidth_use_matrix_by_matrix, bandwidth_use_in_tensors],
    why="The count is a lower bound: what a kernel writes and reads again, and the activations, come on top. So the "
    "share says how much there is to gain at most. A step of one sequence is nearly all weights; in a full batch the "
    "cache is the larger part, and no fusing makes that smaller.",
)
