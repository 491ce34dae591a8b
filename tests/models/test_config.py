"""config.json: what it means, and what is refused rather than passed over."""

import dataclasses

import pytest

from course_lib.errors import ModelError
from course_lib.models import ModelConfig, RopeScaling

LLAMA = dict(
    architectures=["LlamaForCausalLM"],
    vocab_size=32000,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=8,
    num_key_value_heads=2,
    max_position_embeddings=4096,
    rms_norm_eps=1e-5,
    bos_token_id=1,
    eos_token_id=2,
    hidden_act="silu",
    torch_dtype="float16",
)

QWEN = dict(architectures=["Qwen2ForCausalLM"], sliding_window=1024, use_sliding_window=True, max_window_layers=1)


def read(**changes):
    return ModelConfig.from_hf({**LLAMA, **changes})


def test_a_llama_2_config_is_read():
    assert read() == ModelConfig(
        vocab_size=32000,
        hidden_size=64,
        intermediate_size=128,
        num_layers=2,
        num_heads=8,
        num_kv_heads=2,
        head_dim=8,
        context=4096,
        rms_norm_eps=1e-5,
        rope_theta=10000.0,
        rope_scaling=None,
        tie_embeddings=False,
        attention_bias=False,
        output_bias=False,
        qk_norm=False,
        family="llama",
        bos_token_id=1,
        eos_token_ids=(2,),
    )


@pytest.mark.parametrize(
    "changes, field, value",
    [
        (dict(num_key_value_heads=None), "num_kv_heads", 8),
        (dict(head_dim=16), "head_dim", 16),
        (dict(head_dim=None), "head_dim", 8),
        (dict(architectures=["Qwen3ForCausalLM"]), "head_dim", 128),
        (dict(architectures=["Qwen3ForCausalLM"]), "qk_norm", True),
        (dict(architectures=["Qwen2ForCausalLM"]), "attention_bias", True),
        (dict(architectures=["Qwen2ForCausalLM"]), "output_bias", False),
        (dict(architectures=["MistralForCausalLM"], attention_bias=True), "attention_bias", False),
        (dict(attention_bias=True), "output_bias", True),
        (dict(eos_token_id=None), "eos_token_ids", ()),
        (dict(eos_token_id=[2, 7]), "eos_token_ids", (2, 7)),
        (dict(rope_theta=500000), "rope_theta", 500000.0),
        (dict(rope_scaling=None), "rope_scaling", None),
        (dict(rope_parameters={"rope_type": "default", "rope_theta": 1e6}), "rope_theta", 1e6),
        (dict(tie_word_embeddings=True), "tie_embeddings", True),
        (dict(architectures=["MistralForCausalLM"], sliding_window=1024), "context", 4096),
        (dict(architectures=["MistralForCausalLM"], sliding_window=1024), "windows", (1024, 1024)),
        (dict(architectures=["MistralForCausalLM"], sliding_window=8192), "windows", ()),
        (dict(architectures=["MistralForCausalLM"], sliding_window=None), "windows", ()),
        (dict(architectures=["MistralForCausalLM"], max_position_embeddings=32768), "windows", (4096, 4096)),
        (dict(QWEN, use_sliding_window=None), "windows", ()),
        (dict(QWEN, use_sliding_window=False), "windows", ()),
        (dict(QWEN), "windows", (None, 1024)),
        (dict(QWEN, max_window_layers=0), "windows", (1024, 1024)),
        (dict(QWEN, max_window_layers=28), "windows", ()),
        (dict(QWEN, sliding_window=None), "windows", ()),
        (dict(QWEN, layer_types=["sliding_attention", "full_attention"]), "windows", (1024, None)),
        (dict(sliding_window=1024), "windows", ()),
        (dict(architectures=None, model_type="qwen3"), "qk_norm", True),
        (dict(architectures=["Qwen2Model"], model_type="qwen2"), "family", "qwen2"),
    ],
)
def test_a_field_means_what_transformers_means_by_it(changes, field, value):
    assert getattr(read(**changes), field) == value


@pytest.mark.parametrize("key", ["rope_scaling", "rope_parameters"])
@pytest.mark.parametrize("kind", ["rope_type", "type"])
def test_llama_3_scaling_is_read_from_either_version(key, kind):
    rope = {
        kind: "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
        "rope_theta": 10000.0,
    }
    assert read(**{key: rope}).rope_scaling == RopeScaling(8.0, 1.0, 4.0, 8192)


@pytest.mark.parametrize(
    "changes, words",
    [
        (dict(architectures=["GPT2LMHeadModel"]), "architecture GPT2LMHeadModel"),
        (dict(architectures=[]), r"\(none\)"),
        (dict(architectures=None), r"\(none\)"),
        (dict(architectures=None, model_type="gemma"), "model_type gemma"),
        (dict(architectures=["LlamaForSequenceClassification"], model_type="llama"), "SequenceClassification"),
        (dict(QWEN, layer_types=["chunked_attention", "full_attention"]), "chunked_attention"),
        (dict(QWEN, layer_types=["full_attention"]), "layer_types of 1 layers"),
        (dict(hidden_act="gelu"), "activation 'gelu'"),
        (dict(mlp_bias=True), "mlp_bias"),
        (dict(partial_rotary_factor=0.5), "partial_rotary_factor to 0.5"),
        (
            dict(rope_parameters={"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.25}),
            "partial_rotary_factor to 0.25",
        ),
        (dict(rope_scaling={"rope_type": "dynamic", "factor": 4.0}), "'dynamic'.*how long a sequence is"),
        (dict(rope_scaling={"rope_type": "longrope", "factor": 4.0}), "'longrope'.*how long a sequence is"),
        (dict(rope_scaling={"type": "mrope", "factor": 2.0}), "'mrope'.*'yarn'"),
        (dict(rope_scaling={"type": "linear"}), "factor"),
        (dict(rope_scaling={"type": "linear", "factor": 0}), "factor of 0.0"),
        (dict(rope_scaling={"rope_type": "llama3", "factor": 2.0}), "low_freq_factor"),
        (dict(rope_parameters={"full_attention": {"rope_theta": 1e4}}), "each kind of layer"),
        (dict(quantization_config={"quant_method": "gptq"}), "quantised"),
        (dict(num_key_value_heads=3), "divisors of 8"),
        (dict(head_dim=7), "must be even"),
        (dict(num_attention_heads=0), "wrong kind|num_heads is 0"),
        (dict(hidden_size="64"), "wrong kind|hidden_size is '64'"),
        (dict(num_hidden_layers=-1), "num_layers is -1"),
        (dict(num_hidden_layers=True), "num_layers is True"),
        (dict(max_position_embeddings=0), "context is 0"),
        (dict(rope_theta="big"), "wrong kind"),
        (dict(rope_theta=-1), "rope_theta is -1"),
        (dict(rms_norm_eps="1e-5"), "rms_norm_eps is '1e-5'"),
        (dict(rope_scaling=[8]), "wrong kind"),
    ],
)
def test_what_we_cannot_run_is_refused(changes, words):
    with pytest.raises(ModelError, match=words):
        read(**changes)


@pytest.mark.parametrize(
    "field", ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"]
)
def test_a_missing_size_is_named(field):
    raw = {k: v for k, v in LLAMA.items() if k != field}
    with pytest.raises(ModelError, match=f"has no field '{field}'"):
        ModelConfig.from_hf(raw)


def test_a_refusal_names_the_file():
    for changes in (dict(architectures=["X"]), dict(mlp_bias=True), dict(hidden_size="x"), dict(rope_scaling=[8])):
        with pytest.raises(ModelError, match="folder/config.json"):
            ModelConfig.from_hf({**LLAMA, **changes}, "folder/config.json")


def test_a_config_cannot_be_changed_behind_the_model_s_back():
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().num_layers = 3


def test_num_parameters_of_llama_2_7b_is_the_published_count():
    config = ModelConfig(
        vocab_size=32000,
        hidden_size=4096,
        intermediate_size=11008,
        num_layers=32,
        num_heads=32,
        num_kv_heads=32,
        head_dim=128,
    )
    assert config.num_parameters == 6_738_415_616
