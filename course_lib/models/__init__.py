"""The model, its configuration and weights, and its tokenizer."""

from .config import ModelConfig, RopeScaling
from .tokenizer import Tokenizer, load_tokenizer
from .transformer import Transformer
from .weights import load_model

__all__ = ["ModelConfig", "RopeScaling", "Tokenizer", "Transformer", "load_model", "load_tokenizer"]
