"""Small random checkpoints of every family, written by transformers: the second opinion."""

import json

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

SHAPE = dict(
    vocab_size=97,
    hidden_size=48,
    intermediate_size=80,
    num_hidden_layers=3,
    num_attention_heads=6,
    max_position_embeddings=512,
    bos_token_id=1,
    eos_token_id=2,
)
LLAMA3_ROPE = dict(
    rope_type="llama3",
    rope_theta=500000.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=64,
)

YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=64)

# name -> (config class, what it has besides SHAPE)
FAMILIES = {
    "llama2": ("LlamaConfig", dict(num_key_value_heads=6)),
    "llama2 tied": ("LlamaConfig", dict(num_key_value_heads=6, tie_word_embeddings=True)),
    "llama biased": ("LlamaConfig", dict(num_key_value_heads=2, attention_bias=True)),
    "llama3": ("LlamaConfig", dict(num_key_value_heads=2, rope_parameters=LLAMA3_ROPE)),
    "llama3 tied": (
        "LlamaConfig",
        dict(num_key_value_heads=2, rope_parameters=LLAMA3_ROPE, head_dim=14, tie_word_embeddings=True),
    ),
    "mistral": ("MistralConfig", dict(num_key_value_heads=3, sliding_window=None)),
    "mistral window": ("MistralConfig", dict(num_key_value_heads=2, sliding_window=37)),
    "qwen2": ("Qwen2Config", dict(num_key_value_heads=2)),
    "qwen2 window": (
        "Qwen2Config",
        dict(num_key_value_heads=2, use_sliding_window=True, sliding_window=23, max_window_layers=1),
    ),
    "qwen3 window": (
        "Qwen3Config",
        dict(
            num_key_value_heads=2,
            head_dim=20,
            use_sliding_window=True,
            sliding_window=9,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        ),
    ),
    "llama linear": (
        "LlamaConfig",
        dict(num_key_value_heads=2, rope_parameters=dict(rope_type="linear", rope_theta=1e4, factor=2.5)),
    ),
    "qwen2 yarn": ("Qwen2Config", dict(num_key_value_heads=2, rope_parameters=YARN)),
    "llama yarn": (
        "LlamaConfig",
        dict(
            num_key_value_heads=2, rope_parameters={**YARN, "beta_fast": 8, "attention_factor": 1.3, "truncate": False}
        ),
    ),
    "qwen3 yarn": (
        "Qwen3Config",
        dict(num_key_value_heads=3, head_dim=32, rope_parameters={**YARN, "mscale": 0.7, "mscale_all_dim": 1.0}),
    ),
    "qwen2 tied": ("Qwen2Config", dict(num_key_value_heads=1, tie_word_embeddings=True)),
    "qwen3": ("Qwen3Config", dict(num_key_value_heads=2, head_dim=20)),
    "qwen3 tied": (
        "Qwen3Config",
        dict(num_key_value_heads=3, head_dim=10, tie_word_embeddings=True, attention_bias=True),
    ),
}


def reference(name, seed=0, **changes):
    """A transformers model with random weights: logits of size about 5, norms and biases far from 1 and 0."""
    kind, more = FAMILIES[name]
    config = getattr(transformers, kind)(**{**SHAPE, **more, **changes})
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if "norm" in key:
                weight.uniform_(0.5, 1.5)
            elif key.endswith("bias"):
                weight.normal_(std=0.5)
            elif "embed" in key:
                weight.normal_()
            else:
                weight.normal_(std=(5 if "lm_head" in key else 1) / weight.shape[1] ** 0.5)
    return model


def save(model, folder, **how):
    """Writes the model with a tokenizer beside it; returns the folder."""
    model.save_pretrained(folder, **how)
    byte_level_tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))
    return folder


def byte_level_tokenizer(bos=True):
    """One token for each byte, three special tokens in front, and " Ada"; the start token by template."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate(["<unk>", "<s>", "</s>", *alphabet, "ĠA", "da", "ĠAda"])}
    tokenizer = Tokenizer(models.BPE(vocab, [("Ġ", "A"), ("d", "a"), ("ĠA", "da")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def edit_json(path, change):
    """Rewrites a JSON file by a function that changes its dictionary in place."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
