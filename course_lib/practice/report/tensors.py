"""Tensors as text, as a learner would type them."""

import torch


def code(tensor):
    """`torch.tensor([2., 1.])`, whole, with no more digits than needed."""
    return f"torch.tensor({numbers(tensor)})"


def numbers(tensor, digits=6):
    """The values as nested Python lists, in text: "[0.5, -inf, 2.]"."""
    if tensor.ndim:
        return "[" + ", ".join(numbers(row, digits) for row in tensor) + "]"
    value = tensor.item()
    if not isinstance(value, float):
        return repr(value)
    if value in (float("inf"), float("-inf")):
        return f'{"-" if value < 0 else ""}float("inf")'
    text = f"{value:.{digits}g}"
    return f"{text}." if text.lstrip("-").isdigit() else text


def outcome(value):
    """Any outcome as text; tensors short, everything else as Python shows it."""
    if isinstance(value, torch.Tensor):
        if value.numel() > 12:
            return f"a tensor of shape {list(value.shape)}, {value.dtype}"
        return code(value)
    return repr(value)
