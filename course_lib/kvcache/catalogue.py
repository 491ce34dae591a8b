"""Shapes of real models and memory sizes of real GPUs, each with the source of its numbers."""

from .sizes import GPU, ModelShape, attention_kind, kv_bytes_per_token, weight_bytes

_HF = "https://huggingface.co/{}/blob/main/config.json"


def _model(name, repository, layers, heads, kv_heads, head_dim, parameters, context, **more):
    """A ModelShape from the model's config.json. `parameters` is the count that follows from this shape."""
    return ModelShape(name, layers, heads, kv_heads, head_dim, parameters, context, _HF.format(repository), **more)


MODELS = {
    m.name: m
    for m in (
        _model("Llama 2 7B", "meta-llama/Llama-2-7b-hf", 32, 32, 32, 128, 6_738_415_616, 4096, weight_dtype="float16"),
        _model(
            "Llama 2 13B", "meta-llama/Llama-2-13b-hf", 40, 40, 40, 128, 13_015_864_320, 4096, weight_dtype="float16"
        ),
        _model(
            "Llama 2 70B", "meta-llama/Llama-2-70b-hf", 80, 64, 8, 128, 68_976_648_192, 4096, weight_dtype="float16"
        ),
        _model("Llama 3 8B", "meta-llama/Meta-Llama-3-8B", 32, 32, 8, 128, 8_030_261_248, 8192),
        _model("Llama 3 70B", "meta-llama/Meta-Llama-3-70B", 80, 64, 8, 128, 70_553_706_496, 8192),
        _model("Llama 3.1 8B", "meta-llama/Llama-3.1-8B", 32, 32, 8, 128, 8_030_261_248, 131_072),
        _model("Llama 3.1 70B", "meta-llama/Llama-3.1-70B", 80, 64, 8, 128, 70_553_706_496, 131_072),
        _model("Llama 3.1 405B", "meta-llama/Llama-3.1-405B", 126, 128, 8, 128, 405_853_388_800, 131_072),
        _model("Mistral 7B v0.3", "mistralai/Mistral-7B-v0.3", 32, 32, 8, 128, 7_248_023_552, 32_768),
        _model("Qwen3 0.6B", "Qwen/Qwen3-0.6B", 28, 16, 8, 128, 596_049_920, 40_960),
        _model("Qwen3 1.7B", "Qwen/Qwen3-1.7B", 28, 16, 8, 128, 1_720_574_976, 40_960),
        _model("Qwen3 4B", "Qwen/Qwen3-4B", 36, 32, 8, 128, 4_022_468_096, 40_960),
        _model("Qwen3 8B", "Qwen/Qwen3-8B", 36, 32, 8, 128, 8_190_735_360, 40_960),
        _model("Qwen3 14B", "Qwen/Qwen3-14B", 40, 40, 8, 128, 14_768_307_200, 40_960),
        _model("Qwen3 32B", "Qwen/Qwen3-32B", 64, 64, 8, 128, 32_762_123_264, 40_960),
        _model("Falcon 7B", "tiiuae/falcon-7b", 32, 71, 1, 64, 6_921_720_704, 2048),
        _model("OPT 13B", "facebook/opt-13b", 40, 40, 40, 128, 12_853_473_280, 2048, weight_dtype="float16"),
        _model(
            "DeepSeek-V3",
            "deepseek-ai/DeepSeek-V3",
            61,
            128,
            128,
            128,
            671_026_419_200,
            163_840,
            weight_dtype="fp8",
            kv_lora_rank=512,
            qk_rope_head_dim=64,
        ),
    )
}
"""{name: ModelShape}. Llama 3 and Llama 3.1 differ only in their context. DeepSeek-V3 is counted without the extra
layer that predicts a second token, and without the scales of its fp8 weights."""

_NVIDIA = "https://www.nvidia.com/en-us/{}/"


def _gpu(name, gigabytes, page, kind):
    """A GPU from the product page of its vendor."""
    return GPU(name, gigabytes * 10**9, f"{page} ({kind})")


GPUS = {
    g.name: g
    for g in (
        _gpu("T4", 16, _NVIDIA.format("data-center/tesla-t4"), "16 GB GDDR6"),
        _gpu("L4", 24, _NVIDIA.format("data-center/l4"), "24 GB GDDR6"),
        _gpu("A10", 24, _NVIDIA.format("data-center/products/a10-gpu"), "24 GB GDDR6"),
        _gpu("RTX 4090", 24, _NVIDIA.format("geforce/graphics-cards/40-series/rtx-4090"), "24 GB GDDR6X"),
        _gpu("A100 40 GB", 40, _NVIDIA.format("data-center/a100"), "first version: 40 GB HBM2"),
        _gpu("A100 80 GB", 80, _NVIDIA.format("data-center/a100"), "80 GB HBM2e"),
        _gpu("H100", 80, _NVIDIA.format("data-center/h100"), "SXM: 80 GB HBM3"),
        _gpu("H200", 141, _NVIDIA.format("data-center/h200"), "141 GB HBM3e"),
        _gpu("B200", 180, _NVIDIA.format("data-center/dgx-b200"), "1,440 GB HBM3e on 8 GPUs"),
        _gpu("MI300X", 192, "https://www.amd.com/en/products/accelerators/instinct/mi300/mi300x.html", "192 GB HBM3"),
        _gpu("8 x H100", 640, _NVIDIA.format("data-center/dgx-h100"), "640 GB on 8 GPUs"),
        _gpu("8 x H200", 1128, _NVIDIA.format("data-center/dgx-h200"), "1,128 GB on 8 GPUs"),
    )
}
"""{name: GPU}. "8 x" is one server whose GPUs hold equal parts of weights and cache. That needs at least as many KV
heads as GPUs, or each request on one GPU."""


def calculator_data(models=None, gpus=None, dtypes=("float32", "bfloat16", "fp8", "int4")):
    """{"models": [dict], "gpus": [dict]}: these tables as plain data, for the view `kv_calculator`.

    models, gpus: other ModelShape and GPU objects, instead of MODELS and GPUS.
    """
    return {
        "models": [
            {
                "name": m.name,
                "attention": attention_kind(m),
                "weight_bytes": weight_bytes(m),
                "kv_bytes_per_token": {dtype: kv_bytes_per_token(m, dtype) for dtype in dtypes},
                "context": m.context,
                "source": m.source,
            }
            for m in (MODELS.values() if models is None else models)
        ],
        "gpus": [
            {"name": g.name, "bytes": g.bytes, "source": g.source} for g in (GPUS.values() if gpus is None else gpus)
        ],
    }
