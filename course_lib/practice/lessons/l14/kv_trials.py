"""What the trials of 14.quantise and 14.scales share: keys as literal tensors, and looks at what a call leaves."""

import copy

import torch

from course_lib.practice.judge.agreement import agree
from course_lib.practice.judge.exercise import Trial
from course_lib.practice.report.tensors import numbers


def typed(x):
    """`torch.tensor([[[0.1, -1.27]]], dtype=torch.float16)`: as a learner types it."""
    if x.numel() == 0:
        return f"torch.zeros{tuple(x.shape)}" + dtype_of(x)
    rest = "" if x.dtype == torch.float32 else f", dtype={x.dtype}"
    return f"torch.tensor({numbers(x)}{rest})"


def dtype_of(x):
    return "" if x.dtype == torch.float32 else f".to({x.dtype})"


def shown(value):
    """An outcome as text: tensors whole, with their dtype where it is not float32."""
    if isinstance(value, (tuple, list)):
        inside = ", ".join(map(shown, value))
        return f"({inside})" if isinstance(value, tuple) else f"[{inside}]"
    if not isinstance(value, torch.Tensor):
        return repr(value)
    kind = "" if value.dtype in (torch.float32, torch.bool) else f" {str(value.dtype).removeprefix('torch.')}"
    if value.numel() > 40:
        return f"a tensor {list(value.shape)}{kind}, first numbers {numbers(value.flatten()[:8], 5)}"
    return f"{numbers(value, 5) if value.numel() else f'a tensor {list(value.shape)}'}{kind}"


def untouched(name, x, *more):
    """The Trial that looks at x after the call, and after the result was changed too."""

    def act(answer):
        given = x.clone()
        made = answer(given, *more)
        for one in made if isinstance(made, tuple) else (made,):
            one.zero_() if isinstance(one, torch.Tensor) and not any(s == 0 for s in one.stride()) else None
        return given

    story = [f"x = {typed(x)}", f"{name}(x{''.join(f', {one!r}' for one in more)})", "x  # as before the call"]
    return Trial(story, act, show=shown, size=x.numel())


def stays(name, x, *more):
    """The Trial of the first result after a second call with other numbers."""

    def act(answer):
        first = answer(x.clone(), *more)
        before = copy.deepcopy(first)
        answer(2 * x + 1, *more)
        return "as before" if agree(before, first) else first

    rest = "".join(f", {one!r}" for one in more)
    story = [
        f"x = {typed(x)}",
        f"first = {name}(x{rest})",
        f"{name}(2 * x + 1{rest})",
        "first  # is it as it was before the second call?",
    ]
    return Trial(story, act, show=shown, size=x.numel())
