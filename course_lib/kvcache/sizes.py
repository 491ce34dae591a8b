"""How large a KV cache is, and how many requests fit. Integers only, no torch.

Units: a byte count is an int. 1 GB is 1,000,000,000 bytes (decimal); 1 GiB is 2**30 = 1,073,741,824 bytes (binary), 7.4
% more. Datasheets of GPUs use GB. Operating systems often write GB and mean GiB. `readable` gives both.
"""

from dataclasses import dataclass

from course_lib.errors import ParameterError

DTYPE_BITS = {"float32": 32, "bfloat16": 16, "float16": 16, "fp8": 8, "int8": 8, "int4": 4}
"""Bits of one number. Quantised caches (fp8 and below) also keep scales, which are counted where `scales=True`."""
KV_DTYPES = ("auto", *DTYPE_BITS)
"""What keys and values can be kept as; "auto": as the model computes them."""
QUANTISED = tuple(name for name, bits in DTYPE_BITS.items() if bits < 16)
SCALE_BYTES = 4
"""A scale is a float32. There is one for each token, KV head and layer, for its key and for its value."""


@dataclass(frozen=True)
class ModelShape:
    """The part of a model's config.json that decides its memory. Names as there, with `num_kv_heads` as in vLLM."""

    name: str
    num_layers: int
    num_heads: int  # of queries
    num_kv_heads: int  # of keys, and of values
    head_dim: int
    num_parameters: int
    context: int  # the most tokens that one sequence can have
    source: str  # where the numbers can be read
    weight_dtype: str = "bfloat16"  # as published
    kv_lora_rank: int | None = None  # MLA: size of the compressed vector for all keys and values
    qk_rope_head_dim: int | None = None  # MLA: size of the one key that has the position


@dataclass(frozen=True)
class GPU:
    """bytes: the datasheet's GB, read as decimal.

    The driver reports a few per cent more or less: up to 7.4 % more where the vendor means GiB (42.4 GB on an A100 40
    GB), less where error correction uses a part of the same memory (15.8 GB on a T4).
    """

    name: str
    bytes: int
    source: str


def attention_kind(shape):
    """ "MHA" (one KV head for each query head), "GQA" (one for a group of query heads), "MQA" (one for all), or "MLA".

    shape: a ModelConfig or ModelShape. Sources: MQA arXiv 1911.02150, GQA arXiv 2305.13245, MLA arXiv 2405.04434.
    """
    if getattr(shape, "kv_lora_rank", None) is not None:
        return "MLA"
    if shape.num_kv_heads == shape.num_heads:
        return "MHA"
    return "MQA" if shape.num_kv_heads == 1 else "GQA"


def kv_numbers_per_token(shape):
    """How many numbers the cache keeps for one token, over all layers.

    A key and a value for each KV head: 2 × layers × KV heads × head size. MLA keeps one compressed vector for all heads
    and one key with the position instead: layers × (kv_lora_rank + qk_rope_head_dim).
    """
    if attention_kind(shape) == "MLA":
        return shape.num_layers * (shape.kv_lora_rank + shape.qk_rope_head_dim)
    return 2 * shape.num_layers * shape.num_kv_heads * shape.head_dim


def kv_bytes_per_token(shape, dtype="float16", *, scales=False):
    """Bytes of one token in the cache: keys and values, over all layers.

    shape: a ModelConfig or ModelShape. dtype: a name in DTYPE_BITS or a torch dtype. scales: whether the scales of a
    quantised cache are counted too, as EngineConfig(kv_dtype=…) keeps them. Raises ParameterError for a dtype that is
    neither.
    """
    numbers = kv_numbers_per_token(shape) * dtype_bits(dtype) // 8
    return numbers + (kv_scale_bytes_per_token(shape, dtype) if scales else 0)


def kv_scale_bytes_per_token(shape, dtype):
    """Bytes of the scales of one token: of its key and its value, for each layer and KV head. 0 from 16 bits on.

    MLA keeps one vector a layer, so it has one scale there.
    """
    if dtype_bits(dtype) >= 16:
        return 0
    vectors = 1 if attention_kind(shape) == "MLA" else 2 * shape.num_kv_heads
    return SCALE_BYTES * shape.num_layers * vectors


def kv_bytes(shape, num_tokens, dtype="float16", *, scales=False):
    """Bytes of the cache of one request with `num_tokens` tokens. Raises ParameterError for a negative number."""
    if type(num_tokens) is not int or num_tokens < 0:
        raise ParameterError(f"num_tokens is {num_tokens!r}, but it counts tokens. Give a whole number of at least 0.")
    return num_tokens * kv_bytes_per_token(shape, dtype, scales=scales)


def weight_bytes(shape, dtype=None):
    """Bytes of the weights in `dtype`. Default: the dtype that was published, or bfloat16 for a ModelConfig."""
    return shape.num_parameters * dtype_bits(dtype or getattr(shape, "weight_dtype", "bfloat16")) // 8


def max_requests(shape, gpu, num_tokens, *, dtype="bfloat16", weight_dtype=None, usable=0.9, scales=False):
    """How many requests of `num_tokens` tokens fit on a GPU beside the weights; 0 if none does.

    gpu: a GPU or its bytes. dtype: of the cache. scales: as in kv_bytes_per_token. weight_dtype: None for the published
    one. usable: the share of the GPU's memory for weights and cache, as vLLM's `gpu_memory_utilization`; the rest is
    for the intermediate results of a step. Raises ParameterError for values out of range.
    """
    if type(usable) not in (int, float) or not 0 < usable <= 1:
        raise ParameterError(
            f"usable is {usable!r}, but it is a share of the GPU's memory. Give a number above 0 and up to 1."
        )
    if type(num_tokens) is not int or not 1 <= num_tokens <= shape.context:
        raise ParameterError(
            f"num_tokens is {num_tokens!r}, but this model takes sequences of 1 to "
            f"{shape.context:,} tokens. Give a whole number in that range."
        )
    room = int(usable * getattr(gpu, "bytes", gpu)) - weight_bytes(shape, weight_dtype)
    return max(0, room // kv_bytes(shape, num_tokens, dtype, scales=scales))


def dtype_bits(dtype):
    """Bits of one number of this dtype, a name or a torch dtype. Raises ParameterError if it is not in DTYPE_BITS."""
    name = str(dtype).removeprefix("torch.")
    name = "fp8" if name.startswith("float8_") else name
    if name not in DTYPE_BITS:
        raise ParameterError(
            f"dtype {dtype!r} is not one whose size is known here. Give one of {', '.join(DTYPE_BITS)}."
        )
    return DTYPE_BITS[name]


def readable(num_bytes):
    """ "1.07 GB (1.00 GiB)": a byte count in decimal and in binary units, the largest in which it is at least 1."""
    for power, letter in ((4, "T"), (3, "G"), (2, "M"), (1, "k")):
        if num_bytes >= 1000**power:
            return f"{num_bytes / 1000**power:.2f} {letter}B ({num_bytes / 1024**power:.2f} {letter.upper()}iB)"
    return f"{num_bytes} bytes"
