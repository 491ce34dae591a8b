"""Small queries, keys and values for the checks of lesson 06, and an eye on the tensors that an answer makes."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode


def qkv(num_queries, num_keys, heads=1, kv_heads=1, head_dim=2, times=1.0):
    """The same small numbers every time. q: [num_queries, heads, head_dim]; k, v: [num_keys, kv_heads, head_dim]; q and k `times` as large."""
    generator = torch.Generator().manual_seed(1000 * num_queries + 100 * num_keys + 10 * heads + head_dim)
    shapes = (num_queries, heads, head_dim), (num_keys, kv_heads, head_dim), (num_keys, kv_heads, head_dim)
    q, k, v = ((2 * torch.randn(shape, generator=generator)).round(decimals=1) for shape in shapes)
    return q * times, k * times, v


class Watch(TorchDispatchMode):
    """Notes, while it is entered, the largest tensor that torch makes and the multiply-adds of its matrix products.

    but: tensors of which a view, such as a cache seen as one row of slots, counts as nothing made.
    """

    def __init__(self, but=()):
        super().__init__()
        self.largest, self.products = [], 0
        self.known = {x.untyped_storage().data_ptr() for x in but}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for made in out if isinstance(out, (list, tuple)) else [out]:
            if not isinstance(made, torch.Tensor) or made.dtype == torch.uint8:
                continue  # as bytes, Triton's interpreter copies what a kernel is given
            if made.numel() > size(self.largest) and made.untyped_storage().data_ptr() not in self.known:
                self.largest = list(made.shape)
        name = func.overloadpacket.__name__
        if name in ("mm", "bmm", "addmm", "baddbmm"):
            left, right = [x for x in args if isinstance(x, torch.Tensor) and x.ndim > 1][-2:]
            self.products += left.numel() * right.shape[-1]
        return out


def size(shape):
    """How many numbers a tensor of this shape holds."""
    return torch.Size(shape).numel() if shape else 0
