"""torch.optim.Muon for many small matrices: those of one shape are updated together.

For the 28 matrices of `tale`, one by one, launching the kernels takes a GPU longer than running them.
"""

import math

import torch

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
STEPS = 5


class Muon(torch.optim.Optimizer):
    """Momentum with all singular values brought near 1 (Keller Jordan, kellerjordan.github.io/posts/muon).

    params: matrices only. The arithmetic is that of torch.optim.Muon with its default settings.
    """

    def __init__(self, params, lr, weight_decay, momentum=0.95):
        by_shape = {}
        for param in params:
            by_shape.setdefault(param.shape, []).append(param)
        super().__init__(
            [dict(params=same) for same in by_shape.values()], dict(lr=lr, weight_decay=weight_decay, momentum=momentum)
        )

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            params, momentum, lr = group["params"], group["momentum"], group["lr"]
            grads = torch.stack([param.grad for param in params])
            state = self.state[params[0]]
            if not state:
                state["momentum"] = torch.zeros_like(grads)
            state["momentum"].lerp_(grads, 1 - momentum)
            updates = orthogonal(grads.lerp(state["momentum"], momentum))
            rows, columns = params[0].shape
            for param, update in zip(params, updates):
                param.mul_(1 - lr * group["weight_decay"])
                param.add_(update, alpha=-lr * math.sqrt(max(1, rows / columns)))


def orthogonal(matrices):
    """The matrices, [n, rows, columns], with singular values brought near 1 by Newton-Schulz iteration, in bfloat16."""
    a, b, c = NEWTON_SCHULZ
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
