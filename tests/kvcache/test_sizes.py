"""Bytes of a cache, compared with published figures and with ModelConfig."""

import dataclasses
import subprocess
import sys

import pytest

from course_lib.errors import ParameterError
from course_lib.kvcache import kv_bytes_per_token, max_requests
from course_lib.kvcache.catalogue import GPUS, MODELS, calculator_data
from course_lib.kvcache.sizes import (
    DTYPE_BITS,
    ModelShape,
    attention_kind,
    kv_bytes,
    kv_numbers_per_token,
    kv_scale_bytes_per_token,
    readable,
    weight_bytes,
)

PUBLISHED = [  # (model, dtype, bytes a token, source)
    ("Llama 2 7B", "float16", 2**19, "0.5 MiB: 2 x 32 layers x 4096 numbers x 2 bytes"),
    ("OPT 13B", "float16", 800 * 2**10, "800 KB, with KB for 1,024 bytes: arXiv 2309.06180, section 3"),
    ("Llama 3.1 405B", "bfloat16", 516_096, "516.096 KB: arXiv 2505.09343, table 1"),
    ("DeepSeek-V3", "bfloat16", 70_272, "70.272 KB: arXiv 2505.09343, table 1"),
]


@pytest.mark.parametrize("name, dtype, expected, source", PUBLISHED, ids=[p[0] for p in PUBLISHED])
def test_bytes_a_token_are_those_published(name, dtype, expected, source):
    assert kv_bytes_per_token(MODELS[name], dtype) == expected


def test_deepseek_v2s_table_of_numbers_a_token():
    """arXiv 2405.04434, table 9 (15.6K and 34.6K numbers), and 93.3 % less than DeepSeek 67B when kept in 6 bits."""
    small = mla(num_layers=27)
    large = mla(num_layers=60)
    assert kv_numbers_per_token(small) == 15_552 and kv_numbers_per_token(large) == 34_560
    deepseek_67b = ModelShape("DeepSeek 67B", 95, 64, 8, 128, 67_000_000_000, 4096, "arXiv 2401.02954")
    assert round(1 - kv_numbers_per_token(large) * 6 / (kv_numbers_per_token(deepseek_67b) * 16), 3) == 0.933


def mla(num_layers):
    return ModelShape("MLA", num_layers, 128, 128, 128, 1, 4096, "made up", kv_lora_rank=512, qk_rope_head_dim=64)


def test_a_request_of_opt_13b_takes_up_to_1_6_gb():
    """arXiv 2309.06180, section 3: 2,048 tokens, 1.6 GB (binary, like its 800 KB)."""
    assert round(kv_bytes(MODELS["OPT 13B"], 2048) / 2**30, 1) == 1.6


def test_the_slots_of_opt_13b_in_12_gb_are_those_of_the_paper():
    """arXiv 2309.06180, table 1: 12 GB for the cache, 15.7K slots."""
    assert 12 * 2**30 // kv_bytes_per_token(MODELS["OPT 13B"]) // 100 == 157


CONFIGS = {  # hidden, intermediate, vocabulary, and other settings of the family
    "Llama 2 7B": (4096, 11008, 32000, {}),
    "Llama 2 13B": (5120, 13824, 32000, {}),
    "Llama 2 70B": (8192, 28672, 32000, {}),
    "Llama 3 8B": (4096, 14336, 128256, {}),
    "Llama 3 70B": (8192, 28672, 128256, {}),
    "Llama 3.1 8B": (4096, 14336, 128256, {}),
    "Llama 3.1 70B": (8192, 28672, 128256, {}),
    "Llama 3.1 405B": (16384, 53248, 128256, {}),
    "Mistral 7B v0.3": (4096, 14336, 32768, {}),
    "Qwen3 0.6B": (1024, 3072, 151936, {"tie_embeddings": True, "qk_norm": True}),
    "Qwen3 1.7B": (2048, 6144, 151936, {"tie_embeddings": True, "qk_norm": True}),
    "Qwen3 4B": (2560, 9728, 151936, {"tie_embeddings": True, "qk_norm": True}),
    "Qwen3 8B": (4096, 12288, 151936, {"qk_norm": True}),
    "Qwen3 14B": (5120, 17408, 151936, {"qk_norm": True}),
    "Qwen3 32B": (5120, 25600, 151936, {"qk_norm": True}),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_models_parameters_and_cache_are_those_of_its_config(name):
    """The published count of weights is reached only if layers, heads and head size are right as well."""
    from course_lib.models import ModelConfig

    shape, (hidden, intermediate, vocabulary, more) = MODELS[name], CONFIGS[name]
    config = ModelConfig(
        vocabulary, hidden, intermediate, shape.num_layers, shape.num_heads, shape.num_kv_heads, shape.head_dim, **more
    )
    assert config.num_parameters == shape.num_parameters
    for dtype in DTYPE_BITS:
        assert kv_bytes_per_token(config, dtype) == kv_bytes_per_token(shape, dtype)
    assert attention_kind(config) == attention_kind(shape)


def test_the_parameters_of_the_other_models_are_counted_here():
    hidden, layers = 7168, 61  # DeepSeek-V3, arXiv 2412.19437, section 4.2
    attention = (
        hidden * 1536 + 1536 + 1536 * 128 * 192 + hidden * (512 + 64) + 512 + 512 * 128 * 256 + 128 * 128 * hidden
    )
    mixture = 257 * 3 * hidden * 2048 + 256 * hidden + 256
    assert MODELS["DeepSeek-V3"].num_parameters == (
        layers * (attention + 2 * hidden) + 3 * 3 * hidden * 18432 + 58 * mixture + 2 * 129280 * hidden + hidden
    )
    hidden = 4544  # Falcon 7B: one norm a layer, a feed-forward four times as wide, tied embeddings
    assert MODELS["Falcon 7B"].num_parameters == (
        32 * (hidden * 73 * 64 + hidden**2 + 8 * hidden**2 + 2 * hidden) + 65024 * hidden + 2 * hidden
    )
    hidden = 5120  # OPT 13B: biases everywhere, learned positions (2 more than its context), tied embeddings
    assert MODELS["OPT 13B"].num_parameters == (
        40 * (4 * hidden**2 + 8 * hidden**2 + 13 * hidden) + (50272 + 2050) * hidden + 2 * hidden
    )
    assert set(MODELS) == {*CONFIGS, "DeepSeek-V3", "Falcon 7B", "OPT 13B"}


def test_the_kinds_of_attention_are_told_apart():
    kinds = {name: attention_kind(shape) for name, shape in MODELS.items()}
    assert {name for name, kind in kinds.items() if kind == "MHA"} == {"Llama 2 7B", "Llama 2 13B", "OPT 13B"}
    assert kinds["Falcon 7B"] == "MQA" and kinds["DeepSeek-V3"] == "MLA"
    assert set(kinds.values()) == {"MHA", "GQA", "MQA", "MLA"}


def test_dtypes_of_torch_are_understood():
    import torch

    shape = MODELS["Qwen3 0.6B"]
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.int8):
        assert kv_bytes_per_token(shape, dtype) == kv_numbers_per_token(shape) * dtype.itemsize
    assert kv_bytes_per_token(shape, "int4") * 2 == kv_bytes_per_token(shape, "int8")


def test_an_unknown_dtype_is_refused():
    with pytest.raises(ParameterError, match="'float12' is not one whose size is known.*float32, bfloat16"):
        kv_bytes_per_token(MODELS["Llama 2 7B"], "float12")


def test_requests_that_fit_are_counted_to_the_last_byte():
    shape = dataclasses.replace(MODELS["Llama 3 8B"], num_parameters=500)  # 1,000 bytes of weights
    request = kv_bytes(shape, 100, "bfloat16")
    for requests in (1, 2, 7):
        assert max_requests(shape, 1000 + requests * request, 100, usable=1) == requests
        assert max_requests(shape, 1000 + requests * request - 1, 100, usable=1) == requests - 1
    assert max_requests(shape, 2000 + 4 * request, 100, usable=0.5) == 2
    assert max_requests(shape, 1000 + request, 100, usable=1, dtype="fp8") == 2
    assert max_requests(shape, 500 + request, 100, usable=1, weight_dtype="fp8") == 1


def test_weights_that_do_not_fit_leave_room_for_no_request():
    assert weight_bytes(MODELS["Llama 3 70B"]) > GPUS["H100"].bytes
    assert max_requests(MODELS["Llama 3 70B"], GPUS["H100"], 100) == 0


@pytest.mark.parametrize(
    "change, words",
    [
        ({"num_tokens": 0}, "sequences of 1 to 8,192 tokens"),
        ({"num_tokens": 8193}, "sequences of 1 to 8,192 tokens"),
        ({"num_tokens": 10.0}, "whole number"),
        ({"usable": 0}, "share"),
        ({"usable": 90}, "share"),
        ({"usable": True}, "share"),
        ({"dtype": "float12"}, "float12"),
    ],
)
def test_values_out_of_range_are_refused(change, words):
    given = {"num_tokens": 100, **change}
    with pytest.raises(ParameterError, match=words):
        max_requests(MODELS["Llama 3 8B"], GPUS["H100"], given.pop("num_tokens"), **given)


def test_a_negative_number_of_tokens_is_refused():
    with pytest.raises(ParameterError, match="counts tokens"):
        kv_bytes(MODELS["Llama 3 8B"], -1)


@pytest.mark.parametrize(
    "num_bytes, words",
    [
        (1_073_741_824, "1.07 GB (1.00 GiB)"),
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.00 kB (0.98 KiB)"),
        (327_680, "327.68 kB (320.00 KiB)"),
        (10**9, "1.00 GB (0.93 GiB)"),
        (3 * 10**12, "3.00 TB (2.73 TiB)"),
    ],
)
def test_decimal_and_binary_units_are_both_given(num_bytes, words):
    assert readable(num_bytes) == words


def test_the_data_of_the_calculator_is_complete():
    data = calculator_data()
    assert [m["name"] for m in data["models"]] == list(MODELS) and [g["name"] for g in data["gpus"]] == list(GPUS)
    for entry, shape in zip(data["models"], MODELS.values()):
        assert entry["kv_bytes_per_token"]["bfloat16"] == kv_bytes_per_token(shape, "bfloat16")
        assert entry["weight_bytes"] == weight_bytes(shape) and entry["source"].startswith("https://")
    one = calculator_data(models=[MODELS["OPT 13B"]], gpus=[GPUS["T4"]], dtypes=["fp8"])
    assert len(one["models"]) == len(one["gpus"]) == 1 and one["models"][0]["kv_bytes_per_token"] == {"fp8": 409_600}


def test_the_arithmetic_does_not_load_torch():
    code = (
        "import sys; from course_lib.kvcache import kv_bytes_per_token, max_requests, calculator_data, simulate; "
        "calculator_data(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_scales_are_counted_where_they_are_asked_for():
    shape = MODELS["Llama 3.1 8B"]  # 32 layers, 8 KV heads of 128
    plain = kv_bytes_per_token(shape, "bfloat16")
    assert plain == kv_bytes_per_token(shape, "bfloat16", scales=True) == 131_072
    by_dtype = {"int8": 65_536 + 2_048, "fp8": 65_536 + 2_048, "int4": 32_768 + 2_048}  # 32 x 8 x 2 scales of 4 bytes
    assert {dtype: kv_bytes_per_token(shape, dtype, scales=True) for dtype in by_dtype} == by_dtype
    assert kv_scale_bytes_per_token(MODELS["DeepSeek-V3"], "int8") == 61 * 4  # one vector a layer


@pytest.mark.parametrize("dtype", ["int8", "fp8", "int4"])
def test_a_pool_takes_what_sizes_says(dtype):
    from random_models import model

    from course_lib.kvcache.quantised_pool import make_pool

    config = model().config
    pool = make_pool(config, 5, 4, "cpu", kv_dtype=dtype)
    assert pool.num_bytes == 20 * kv_bytes_per_token(config, dtype, scales=True)


def test_requests_that_fit_grow_by_as_much_as_a_token_shrinks():
    shape, room = MODELS["Llama 3.1 8B"], 80_000_000_000
    fit = {d: max_requests(shape, room, 4096, dtype=d, scales=True) for d in ("bfloat16", "int8", "int4")}
    assert fit["int8"] / fit["bfloat16"] == pytest.approx(128 * 2 / (128 + 4), rel=0.01)
    assert fit["int4"] / fit["bfloat16"] == pytest.approx(128 * 2 / (64 + 4), rel=0.01)
