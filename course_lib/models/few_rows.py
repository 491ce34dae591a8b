"""Products of a few rows with a large weight on a CPU: each thread computes a part of every sum.

torch's `linear` of few rows leaves all but one thread idle, and one core reads a weight at half of what two can. Here
the input's columns, and the weight's with them, are cut into as many parts as there are threads; `bmm` computes the
parts side by side, and they are added. 0.20 ms in place of 0.33 for one row, 0.67 in place of 0.71 for 16, with a
weight of 2,048 x 768 in float32 on two cores (benchmarks/cpu_decode.py measures whole models).
"""

import torch
from torch import nn

MOST_ROWS = 64  # of the input; beyond, `linear` uses all threads by itself
FEWEST_NUMBERS = 2**17  # of the weight; below, a call costs more than is gained
MOST_PARTS = 8


class FewRowsLinear(nn.Linear):
    """An nn.Linear, faster for an input of few rows: [num_rows, in_features] with at most MOST_ROWS."""

    def forward(self, x):
        """As nn.Linear.forward."""
        # Asked at each call: the model may have been moved or converted, the number of threads changed.
        if x.ndim != 2 or len(x) > MOST_ROWS or not gains(self.weight):
            return super().forward(x)
        parts = num_parts(self.in_features)
        if parts == 1:
            return super().forward(x)
        columns = self.in_features // parts
        ours, theirs = x.reshape(-1, parts, columns).transpose(0, 1), self.weight.t().view(parts, columns, -1)
        out = torch.bmm(ours, theirs).sum(0)
        return out if self.bias is None else out + self.bias


def with_fast_few_rows(model):
    """The Transformer, in which every nn.Linear with a weight that gains is one of these; the weights stay where they
    are.
    """
    for holder in [model, *(part for layer in model.model.layers for part in (layer.self_attn, layer.mlp))]:
        for name, linear in list(holder.named_children()):
            if type(linear) is nn.Linear and gains(linear.weight):
                with torch.device("meta"):
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
        and weight.t().is_contiguous()
    )


def num_parts(in_features):
    """As many parts as threads, where in_features can be cut into so many equal ones; else the next smaller number."""
    return next(parts for parts in range(min(torch.get_num_threads(), MOST_PARTS), 0, -1) if in_features % parts == 0)
