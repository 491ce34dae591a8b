"""The configuration of a model, read from the `config.json` of a Hugging Face folder."""

import math
from dataclasses import dataclass

from course_lib.errors import ModelError

from .rope import LinearScaling, RopeScaling, YarnScaling, read_scaling

# What each family adds to the plain Llama block: (bias on q, k, v; norm on every q and k head).
FAMILIES = {
    "LlamaForCausalLM": ("llama", False, False),
    "MistralForCausalLM": ("mistral", False, False),
    "Qwen2ForCausalLM": ("qwen2", True, False),
    "Qwen3ForCausalLM": ("qwen3", False, True),
}


@dataclass(frozen=True)
class ModelConfig:
    """Everything that `Transformer` needs to know about a model.

    Sizes are in elements, `context` in tokens. `head_dim` is a field of its own because it is not always
    `hidden_size / num_heads` (Qwen3).
    """

    vocab_size: int  # rows of the embedding, and of the logits
    hidden_size: int  # of the vector that goes through the layers
    intermediate_size: int  # inside the MLP
    num_layers: int
    num_heads: int  # of the queries
    num_kv_heads: int  # of keys and values; query heads share them in groups
    head_dim: int
    context: int = 2048  # most tokens of a sequence
    rms_norm_eps: float = 1e-5  # added to the mean square in RMSNorm
    rope_theta: float = 10000.0  # base of the rotary angles
    rope_scaling: RopeScaling | LinearScaling | YarnScaling | None = None  # for contexts beyond the trained one
    windows: tuple[int | None, ...] = ()  # of each layer: the last tokens that a token sees, None: all; (): no windows
    tie_embeddings: bool = False  # the output head is the embedding
    attention_bias: bool = False  # Qwen2: a bias on the q, k and v projections
    output_bias: bool = False  # Llama with attention_bias: a bias on the output projection too
    qk_norm: bool = False  # Qwen3: every q and k head is normalised before RoPE
    family: str = "llama"  # the model_type of its config.json
    bos_token_id: int | None = None  # the token that a prompt starts with
    eos_token_ids: tuple[int, ...] = ()  # the tokens that end an output

    def __post_init__(self):
        sizes = "vocab_size hidden_size intermediate_size num_layers num_heads num_kv_heads head_dim context"
        for name in sizes.split():
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ModelError(
                    f"{name} is {value!r}, but it must be a whole number of at least 1. Correct it in the "
                    "model's config.json."
                )
        if self.num_heads % self.num_kv_heads:
            raise ModelError(
                f"{self.num_heads} query heads cannot share {self.num_kv_heads} key/value heads evenly. "
                f"Choose num_kv_heads among the divisors of {self.num_heads}."
            )
        if self.head_dim % 2:
            raise ModelError(f"head_dim is {self.head_dim}, but RoPE rotates pairs of elements, so it must be even.")
        if self.windows and len(self.windows) != self.num_layers:
            raise ModelError(
                f"{len(self.windows)} windows came for {self.num_layers} layers. Give one for each, or ()."
            )
        if any(w is not None and (type(w) is not int or w < 1) for w in self.windows):
            raise ModelError(f"windows is {self.windows}; each counts tokens, 1 or more, or is None for all of them.")
        for name in ("rms_norm_eps", "rope_theta"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 < value < math.inf:
                raise ModelError(
                    f"{name} is {value!r}, but it must be a finite number above 0. Correct it in the "
                    f"model's config.json."
                )

    @property
    def num_parameters(self):
        """The number of weights; a tied embedding counts once."""
        q, kv = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        layer = 2 * self.hidden_size * (q + kv) + 3 * self.hidden_size * self.intermediate_size + 2 * self.hidden_size
        layer += self.attention_bias * (q + 2 * kv) + self.output_bias * self.hidden_size
        layer += self.qk_norm * 2 * self.head_dim
        tables = 1 if self.tie_embeddings else 2
        return self.num_layers * layer + tables * self.vocab_size * self.hidden_size + self.hidden_size

    @classmethod
    def from_hf(cls, raw, source="config.json"):
        """The ModelConfig for the dictionary of a Hugging Face `config.json`; ModelError if it cannot run here."""
        family, bias, qk_norm = _family(raw, source)
        try:
            _refuse_unknown_settings(raw, source)
            hidden, heads = raw["hidden_size"], raw["num_attention_heads"]
            rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}  # transformers 5, or 4 and older
            own_bias = bool(raw.get("attention_bias", False)) and family in ("llama", "qwen3")
            return cls(
                vocab_size=raw["vocab_size"],
                hidden_size=hidden,
                intermediate_size=raw["intermediate_size"],
                num_layers=raw["num_hidden_layers"],
                num_heads=heads,
                num_kv_heads=raw.get("num_key_value_heads") or heads,
                head_dim=raw.get("head_dim") or (128 if family == "qwen3" else hidden // heads),
                context=raw.get("max_position_embeddings", 2048),
                rms_norm_eps=raw.get("rms_norm_eps", 1e-6),
                rope_theta=float(rope.get("rope_theta") or raw.get("rope_theta") or 10000.0),
                rope_scaling=read_scaling(rope, raw.get("max_position_embeddings", 2048), source),
                windows=_windows(raw, family, source),
                tie_embeddings=bool(raw.get("tie_word_embeddings", False)),
                attention_bias=bias or own_bias,
                output_bias=own_bias,
                qk_norm=qk_norm,
                family=family,
                bos_token_id=raw.get("bos_token_id"),
                eos_token_ids=_ids(raw.get("eos_token_id")),
            )
        except KeyError as missing:
            raise ModelError(
                f"{source} has no field {missing}; without it the model cannot be built. "
                "Fetch the folder again, or add the field."
            ) from None
        except (TypeError, ValueError, AttributeError, ZeroDivisionError) as problem:
            raise ModelError(
                f"{source} holds a value of the wrong kind ({problem}), so the model cannot be built. "
                f"Fetch the folder again."
            ) from None


def _family(raw, source):
    """The row of FAMILIES, by "architectures", or by "model_type" where that is missing or names the body alone."""
    names, model_type = raw.get("architectures") or [], raw.get("model_type")
    by_type = {row[0]: row for row in FAMILIES.values()}
    for name in names:
        if name in FAMILIES:
            return FAMILIES[name]
    if all(name.endswith("Model") for name in names) and model_type in by_type:
        return by_type[model_type]
    raise ModelError(
        f"{source} names the architecture {', '.join(names) or '(none)'} and the model_type {model_type or '(none)'}. "
        f"This course runs {', '.join(FAMILIES)} ({', '.join(by_type)}). Choose a model of one of these families."
    )


def _windows(raw, family, source):
    """The sliding window of each layer, or () where none has one that its context can exceed.

    Mistral: one for all layers. Qwen: switched on by use_sliding_window, for the layers from max_window_layers on or
    for those that layer_types names. Defaults as in transformers.
    """
    if family == "llama" or not raw.get("use_sliding_window", family == "mistral"):
        return ()
    window, num_layers = raw.get("sliding_window", 4096), raw["num_hidden_layers"]
    if window is None or window >= raw.get("max_position_embeddings", 2048):
        return ()
    if family == "mistral":
        return (window,) * num_layers
    kinds = raw.get("layer_types")
    if kinds is None:
        full = raw.get("max_window_layers", 28)
        kinds = ["sliding_attention" if i >= full else "full_attention" for i in range(num_layers)]
    other = sorted({str(kind) for kind in kinds} - {"sliding_attention", "full_attention"})
    if other or len(kinds) != num_layers:
        raise ModelError(
            f"{source} gives layer_types of {len(kinds)} layers ({', '.join(other) or 'known'}) for {num_layers}; this "
            f"course has 'full_attention' and 'sliding_attention', one for each layer. Choose another checkpoint."
        )
    windows = tuple(window if kind == "sliding_attention" else None for kind in kinds)
    return windows if any(windows) else ()


def _refuse_unknown_settings(raw, source):
    """Raises ModelError for settings that change the output and are not implemented here."""
    act = raw.get("hidden_act", "silu")
    if act not in ("silu", "swish"):
        raise ModelError(
            f"{source} sets the activation {act!r}; this course implements only 'silu', "
            "so the model's output would be wrong. Choose another checkpoint."
        )
    if raw.get("mlp_bias"):
        raise ModelError(f"{source} sets mlp_bias, which this course does not implement. Choose another checkpoint.")
    rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    share = rope.get("partial_rotary_factor", raw.get("partial_rotary_factor") or 1.0)
    if share != 1.0:
        raise ModelError(
            f"{source} sets partial_rotary_factor to {share}, so RoPE rotates only that share of every head; this "
            "course rotates all of it, so the output would be wrong. Choose another checkpoint."
        )
    if any(isinstance(value, dict) for value in rope.values()):
        raise ModelError(
            f"{source} gives RoPE parameters for each kind of layer ({', '.join(rope)}); this course "
            f"has one set for all layers. Choose another checkpoint."
        )
    if raw.get("quantization_config"):
        raise ModelError(
            f"{source} describes quantised weights, which this course does not read. "
            f"Choose the unquantised checkpoint of the same model."
        )


def _ids(value):
    if value is None:
        return ()
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)
