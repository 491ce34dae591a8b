"""Small random models for tests of any package."""

import torch

from course_lib.models import ModelConfig, Transformer


def model(num_heads=4, num_kv_heads=2, num_layers=2, seed=0, vocab_size=23, context=256, **more):
    """A small random model whose output does not repeat itself at once."""
    torch.manual_seed(seed)
    made = (
        Transformer(
            ModelConfig(
                vocab_size=vocab_size,
                hidden_size=24,
                intermediate_size=32,
                num_layers=num_layers,
                num_heads=num_heads,
                num_kv_heads=num_kv_heads,
                head_dim=6,
                context=context,
                **more,
            )
        )
        .eval()
        .requires_grad_(False)
    )
    for name, weight in made.named_parameters():
        if "norm" not in name:
            weight.normal_(std=1 if "embed" in name else (5 if "lm_head" in name else 1.5) / weight.shape[-1] ** 0.5)
    return made
