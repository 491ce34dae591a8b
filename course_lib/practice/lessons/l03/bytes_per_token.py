"""Exercise 03.bytes_per_token: bytes of KV cache for one token."""

from types import SimpleNamespace

from course_lib.kvcache.catalogue import MODELS
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, rounds_large_numbers
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .solutions.bytes_per_token import bytes_per_token


def bytes_layer_by_layer(shape, bits):
    total = 0
    for _ in range(shape.num_layers):
        if shape.kv_lora_rank:
            total += shape.kv_lora_rank * bits + shape.qk_rope_head_dim * bits
        else:
            for _ in range(shape.num_kv_heads):
                total += shape.head_dim * bits  # its key
                total += shape.head_dim * bits  # its value
    return total // 8


def bytes_divided(shape, bits):
    layer = 2 * shape.num_kv_heads * shape.head_dim
    if shape.kv_lora_rank is not None:
        layer = shape.kv_lora_rank + shape.qk_rope_head_dim
    return shape.num_layers * (layer * bits // 4) // 2


SIZES = ("num_layers", "num_heads", "num_kv_heads", "head_dim")


def story(sizes, latent, bits):
    """The lines that make a shape and call bytes_per_token on it."""
    rank, rope = latent or (None, None)
    named = ", ".join(f"{name}={value}" for name, value in zip(SIZES, sizes))
    return [
        "from types import SimpleNamespace as Shape",
        f"shape = Shape({named}, kv_lora_rank={rank}, qk_rope_head_dim={rope})",
        f"bytes_per_token(shape, {bits})",
    ]


def made(sizes, latent):
    rank, rope = latent or (None, None)
    return SimpleNamespace(**dict(zip(SIZES, sizes)), kv_lora_rank=rank, qk_rope_head_dim=rope)


def computed(sizes, bits=16, latent=None, note=""):
    """The Trial for a shape of (layers, query heads, KV heads, head size), with MLA where `latent` is (rank, rope)."""
    return Trial(
        story(sizes, latent, bits),
        lambda answer: answer(made(sizes, latent), bits),
        note=note,
        show=with_commas,
        size=sum(sizes) + sum(latent or ()) + bits,
    )


def kind(sizes, bits):
    """The Trial that compares the type only."""
    return Trial(
        story(sizes, None, bits), lambda answer: type(answer(made(sizes, None), bits)).__name__, size=sum(sizes)
    )


def real(name, bits):
    return Trial(
        ["from course_lib.kvcache.catalogue import MODELS", f'bytes_per_token(MODELS["{name}"], {bits})'],
        lambda answer: answer(MODELS[name], bits),
        show=with_commas,
        size=bits,
    )


def with_commas(number):
    """1234567 as 1,234,567; anything else as it is."""
    return f"{number:,}" if type(number) in (int, float) else repr(number)


def numbers_without_mla(shape, *, two=2, layers=True, heads="num_kv_heads"):
    """The formula without MLA with one factor replaced: how many numbers a token takes."""
    return two * (shape.num_layers if layers else 1) * getattr(shape, heads) * shape.head_dim


def wrong(
    *,
    latent=lambda s: s.num_layers * (s.kv_lora_rank + s.qk_rope_head_dim),
    size=lambda n, bits: n * bits // 8,
    **factors,
):
    """A wrong answer: the right one with a factor, the MLA branch or the conversion to bytes replaced."""

    def answer(shape, bits):
        return size(numbers_without_mla(shape, **factors) if shape.kv_lora_rank is None else latent(shape), bits)

    return answer


def without_mla(shape, bits):
    return numbers_without_mla(shape) * bits // 8


def without_mla_nor_groups(shape, bits):
    return numbers_without_mla(shape, heads="num_heads") * bits // 8


ALIKE = [(1, 1, 1, 2), (1, 1, 1, 4), (1, 2, 2, 2), (2, 1, 1, 2), (2, 2, 2, 4), (3, 2, 2, 4), (3, 4, 4, 8)]
GROUPED = [(1, 2, 1, 2), (1, 4, 2, 2), (2, 4, 1, 4), (2, 4, 2, 4), (3, 6, 2, 8), (3, 6, 3, 8)]
LATENT = [
    ((1, 2, 2, 2), (4, 2)),
    ((2, 2, 2, 2), (4, 2)),
    ((2, 4, 4, 4), (6, 2)),
    ((3, 4, 4, 8), (10, 4)),
    ((3, 8, 8, 16), (16, 6)),
]
REAL = [
    "Llama 2 7B",
    "Llama 2 70B",
    "Llama 3 8B",
    "Llama 3.1 405B",
    "Mistral 7B v0.3",
    "Qwen3 0.6B",
    "Qwen3 32B",
    "Falcon 7B",
    "DeepSeek-V3",
]

LARGE = [computed((3, 1, 1, 2**60 + 1), bits) for bits in (8, 16)] + [computed((3, 4, 3, 2**58 + 7), 32)]

BYTES_PER_TOKEN = Exercise(
    id="03.bytes_per_token",
    title="Bytes of one token",
    name="bytes_per_token",
    cases="shapes",
    properties=[
        Property(
            "It returns a whole number",
            "Memory has whole bytes, and a plan with rounding errors fails at the limit.",
            [kind(sizes, bits) for sizes in ALIKE[:4] for bits in (16, 32)],
        ),
        Property(
            "Each layer caches a key and a value for every KV head",
            "Attention in later steps reads both, in every layer.",
            [computed(sizes) for sizes in ALIKE],
        ),
        Property(
            "Query heads that share a KV head need no more memory",
            "Queries are used in their own step and are not cached.",
            [computed(sizes) for sizes in GROUPED],
        ),
        Property(
            "`bits` is the size of a number, down to 4 bits",
            "A cache can use 32, 16, 8 or 4 bits for a number: two numbers of 4 bits share a byte.",
            [computed(sizes, bits) for sizes in (ALIKE[0], ALIKE[3], GROUPED[1], GROUPED[4]) for bits in (4, 8, 32)],
        ),
        Property(
            "With MLA, a layer caches one compressed vector and one key with the position",
            "Keys and values of all heads are computed from that vector when they are needed.",
            [computed(sizes, 16, latent) for sizes, latent in LATENT],
        ),
        Property(
            "The numbers for real models are the published ones",
            "These numbers decide which GPU a model needs.",
            [real(name, bits) for name in REAL for bits in (8, 16)],
        ),
        Property(
            "It is exact however large the numbers are",
            "A plan that adds up many of them fails at the limit by what was rounded away.",
            LARGE,
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        rounds_large_numbers(LARGE),
        Mistake(
            "only keys or only values are counted.",
            "Attention needs both: keys for the scores, values for the weighted sum. The factor 2 stands for them.",
            (wrong(two=1), wrong(two=1, heads="num_heads")),
        ),
        Mistake(
            "query heads are counted.",
            "The cache holds only keys and values. With grouped-query attention there are fewer heads of them: "
            "`num_kv_heads`.",
            (wrong(heads="num_heads"), without_mla_nor_groups),
        ),
        Mistake(
            "only one layer is counted.",
            "Every layer has its own keys and values: multiply by `num_layers`.",
            (wrong(layers=False), wrong(layers=False, latent=lambda s: s.kv_lora_rank + s.qk_rope_head_dim)),
        ),
        Mistake(
            "bits are counted as bytes.",
            "A byte has 8 bits: `numbers * bits // 8`.",
            (wrong(size=lambda n, bits: n * bits), wrong(size=lambda n, bits: 2 * n * bits)),
        ),
        Mistake(
            "numbers are counted, not bytes.",
            "A number takes `bits // 8` bytes from 8 bits on, and half a byte with 4.",
            wrong(size=lambda n, bits: n),
        ),
        Mistake(
            "2 bytes are counted for every number.",
            "`bits` is the size of a number; 16 bits are only the usual choice.",
            wrong(size=lambda n, bits: n * 2),
        ),
        Mistake(
            "4 bits become 0 bytes.",
            "`bits // 8` is 0 for 4 bits. Multiply first, then divide: `numbers * bits // 8`.",
            wrong(size=lambda n, bits: n * (bits // 8)),
        ),
        Mistake(
            "4 bits are rounded up to a byte.",
            "Two numbers of 4 bits share a byte. Multiply first, then divide: `numbers * bits // 8`.",
            wrong(size=lambda n, bits: n * max(1, bits // 8)),
        ),
        Mistake(
            "the queries are counted too.",
            "A query is used in its own step only, so the cache holds keys and values: 2 for each KV head.",
            lambda s, bits: (
                (numbers_without_mla(s) + s.num_layers * s.num_heads * s.head_dim) * bits // 8
                if s.kv_lora_rank is None
                else bytes_per_token(s, bits)
            ),
        ),
        Mistake(
            "with MLA, the keys and values of the heads are counted as well.",
            "They are not cached: where `kv_lora_rank` is not None, only the compressed vector and the key with the "
            "position are.",
            lambda s, bits: (
                (numbers_without_mla(s) + s.num_layers * ((s.kv_lora_rank or 0) + (s.qk_rope_head_dim or 0)))
                * bits
                // 8
            ),
        ),
        Mistake(
            "the number is a float.",
            "`/` gives a float; `//` gives a whole number.",
            wrong(size=lambda n, bits: n * bits / 8),
        ),
        Mistake(
            "MLA is counted like other attention.",
            "Where `kv_lora_rank` is not None, a layer caches `kv_lora_rank + qk_rope_head_dim` numbers, for any "
            "number of heads.",
            without_mla,
        ),
        Mistake(
            "the compressed vector is counted twice.",
            "It holds keys and values together: it has no factor 2.",
            (
                wrong(latent=lambda s: 2 * s.num_layers * (s.kv_lora_rank + s.qk_rope_head_dim)),
                wrong(latent=lambda s: s.num_layers * (2 * s.kv_lora_rank + s.qk_rope_head_dim)),
            ),
        ),
        Mistake(
            "the compressed vector is counted for each head.",
            "All heads compute their keys and values from the same vector: a layer caches it once.",
            (
                wrong(latent=lambda s: s.num_layers * s.num_kv_heads * (s.kv_lora_rank + s.qk_rope_head_dim)),
                wrong(latent=lambda s: s.num_layers * (s.kv_lora_rank + s.num_kv_heads * s.qk_rope_head_dim)),
            ),
        ),
        Mistake(
            "the key with the position is not counted.",
            "RoPE cannot be applied to the compressed vector, so a layer also caches a small key that carries the "
            "position.",
            wrong(latent=lambda s: s.num_layers * s.kv_lora_rank),
        ),
    ],
    hints=[
        "Start with one layer and one KV head: which two vectors does it cache for a token, and how many numbers has "
        "each?",
        "Without MLA: 2 × layers × KV heads × head size numbers. Query heads are not in the formula: queries are not "
        "cached.",
        "With MLA (`shape.kv_lora_rank is not None`): layers × (kv_lora_rank + qk_rope_head_dim), without the factor "
        "2 and without heads.",
        "Count the numbers first and convert them to bytes last: `return numbers * bits // 8`. That is right for 4 "
        "bits too.",
    ],
    rights=[bytes_per_token, bytes_layer_by_layer, bytes_divided],
    why="The 2 stands for key and value. The formula uses `num_kv_heads` and not `num_heads`, because queries are not "
    "cached. MLA caches neither keys nor values, only the vector from which they are computed, so it has neither the "
    "2 nor the heads. The division comes last, so 4-bit numbers are counted exactly.",
)
