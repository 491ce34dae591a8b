"""Products of a few rows with a large weight on a CPU: each thread computes a part of every sum.

torch's `linear` of few rows leaves all but one thread idle, and one core reads a weight at half of what two can. Here
the input's columns, and the weight's with them, are cut into PARTS; `bmm` computes the parts side by side, and they
are added. 0.22 ms in place of 0.33 for one row, 0.69 in place of 0.71 for 16, with a weight of 2,048 x 768 in float32
on two cores (benchmarks/cpu_decode.py measures whole models). The number of parts is fixed, so that a machine with more
cores adds in the same order.
"""

import torch
from torch import nn

from .without_memory import without_memory

MOST_ROWS = 32  # of the input; beyond, `linear` uses all threads by itself
FEWEST_NUMBERS = 2**17  # of the weight; below, a call costs more than is gained
PARTS = 4


class FewRowsLinear(nn.Linear):
    """An nn.Linear, faster for an input of few rows: [num_rows, in_features] with at most MOST_ROWS."""

    def forward(self, x):
        """As nn.Linear.forward."""
        # Asked at each call: the model may have been moved or converted since it was loaded.
        if x.ndim != 2 or len(x) > MOST_ROWS or not gains(self.weight):
            return super().forward(x)
        columns = self.in_features // PARTS
        ours, theirs = x.reshape(-1, PARTS, columns).transpose(0, 1), self.weight.t().view(PARTS, columns, -1)
        out = torch.bmm(ours, theirs).sum(0)
        return out if self.bias is None else out + self.bias


def with_fast_few_rows(model):
    """The Transformer, in which every nn.Linear with a weight that gains is one of these; the weights stay where they
    are.
    """
    for holder in [model, *(part for layer in model.model.layers for part in (layer.self_attn, layer.mlp))]:
        for name, linear in list(holder.named_children()):
            if type(linear) is nn.Linear and gains(linear.weight):
                with without_memory():
                    fast = FewRowsLinear(linear.in_features, linear.out_features, bias=linear.bias is not None)
                fast.weight, fast.bias = linear.weight, linear.bias
                setattr(holder, name, fast.train(linear.training))
    return model


def gains(weight):
    """Whether a weight [out, in] can be cut so: large, in float32 on a CPU, and stored column after column."""
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and weight.numel() >= FEWEST_NUMBERS
        and weight.shape[1] % PARTS == 0
        and weight.t().is_contiguous()
    )
