"""How large the numbers of each channel of the keys are in a model: what quantised keys can be divided by. Lesson 14.

The channels of keys differ: in many models a few have numbers ten times as large as the others, for every token. One
scale for a token and head then leaves few steps for the other channels. KIVI (arXiv 2402.02750) gives each channel a
scale over a group of tokens, and keeps the newest tokens unquantised until their group is full; KVQuant (2401.18079)
measures the scales of channels beforehand. Here they are measured beforehand too, so that what is kept of a token does
not depend on the tokens that come after it.
"""

import torch

from course_lib.errors import ParameterError

from .recompute import Recompute

SAMPLE = 256  # tokens, where none are given
SMALLEST = 1e-3  # a channel is taken to be at least so large, compared with the largest of its head


@torch.inference_mode()
def k_channels(model, token_ids=None):
    """The largest absolute key of each channel in a sample: float32 [num_layers, num_kv_heads, head_dim].

    token_ids: the sample, a list; default: the same SAMPLE random tokens every time. Of what happens in other sequences
    this need only be a rough picture: each token has a scale of its own besides. Raises ParameterError for an empty
    sample.
    """
    config = model.config
    if token_ids is None:
        draw = torch.Generator().manual_seed(0)
        token_ids = torch.randint(config.vocab_size, (min(SAMPLE, config.context),), generator=draw).tolist()
    if not token_ids:
        raise ParameterError("The sample is empty, and channels are measured on its tokens. Give some text.")
    largest = Largest()
    ids = torch.tensor(token_ids, device=model.device)
    model(ids, torch.arange(len(ids), device=model.device), largest, logits_for=torch.tensor([0], device=model.device))
    channels = torch.stack(largest.of_layer)
    return torch.maximum(channels, SMALLEST * channels.amax(-1, keepdim=True)).clamp(min=1e-12)


class Largest(Recompute):
    """As Recompute; keeps the largest absolute key of each channel, one layer after the other."""

    def __init__(self):
        self.of_layer = []

    def attend(self, layer, q, k, v, window=None):
        """As Recompute.attend."""
        self.of_layer.append(k.float().abs().amax(0))
        return super().attend(layer, q, k, v, window)
