"""The model, its configuration and weights, and its tokenizer."""

from .config import ModelConfig
from .rope import LinearScaling, RopeScaling, YarnScaling
from .tokenizer import Tokenizer, load_tokenizer
from .transformer import Transformer
from .weights import load_model

__all__ = [
    "LinearScaling",
    "ModelConfig",
    "RopeScaling",
    "Tokenizer",
    "Transformer",
    "YarnScaling",
    "load_model",
    "load_tokenizer",
]
