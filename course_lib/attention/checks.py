"""Checks before a kernel is launched: shapes, dtypes, devices, and in debug mode block ids and slots. No Triton."""

import math

import torch

from course_lib.errors import ParameterError

KERNEL_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
MAX_HEAD_DIM = 256
_debug = False


def debug(on=True):
    """Switches debug mode: whether ids and lengths on a GPU are copied to the CPU and checked at every call.

    This is slow, since the CPU waits for the GPU each time. Without it, a kernel with a wrong block id reads other
    data. Ids and lengths on a CPU are always checked.
    """
    global _debug
    _debug = bool(on)


def _contents_checked(tensor):
    return _debug or tensor.device.type == "cpu"


def check_scale(scale, head_dim):
    """The scale of the scores; default head_dim ** -0.5."""
    if scale is None:
        return head_dim**-0.5
    if not (type(scale) in (int, float) and math.isfinite(scale) and scale > 0):
        raise ParameterError(
            f"scale is {scale!r}; scores are multiplied by it, so it must be a finite number above 0. Leave "
            f"it out for the usual head_dim ** -0.5 = {head_dim**-0.5:.4f}."
        )
    return float(scale)


def check_heads(q, k, v, where="k", head_dim=None, same_dtype=True):
    """That q fits k and v: [..., num_kv_heads, head_dim]. where: the name of k in the caller's arguments.

    head_dim: of k, where its last dimension is packed. same_dtype: whether k and v must have the dtype of q.
    """
    for name, x in (("q", q), (where, k), ("v of " + where, v)):
        if not isinstance(x, torch.Tensor) or x.ndim < 3:
            raise ParameterError(f"{name} is {kind_in_words(x)}; it must be a tensor [..., num_heads, head_dim].")
    if q.ndim != 3:
        raise ParameterError(
            f"q has shape {list(q.shape)}; it must be [num_tokens, num_heads, head_dim], all sequences one "
            "after the other, without a batch dimension."
        )
    if k.shape != v.shape:
        raise ParameterError(
            f"{where} has shape {list(k.shape)} and its v {list(v.shape)}; each key has one value, so the shapes "
            "must be equal."
        )
    heads, kv_heads = q.shape[1], k.shape[-2]
    head_dim = k.shape[-1] if head_dim is None else head_dim
    if q.shape[2] != head_dim or q.shape[2] == 0:
        raise ParameterError(
            f"q has head_dim {q.shape[2]} and {where} {head_dim}; a score is their dot product, so both must be "
            "equal and above 0."
        )
    if kv_heads == 0 or heads % max(kv_heads, 1) != 0 or heads == 0:
        raise ParameterError(
            f"{heads} query heads cannot share {kv_heads} key/value heads evenly; the first must be a "
            "multiple of the second."
        )
    if same_dtype and not q.dtype == k.dtype == v.dtype:
        raise ParameterError(f"q is {q.dtype}, {where} {k.dtype} and its v {v.dtype}; convert them to one dtype.")
    if not q.device == k.device == v.device:
        raise ParameterError(
            f"q is on {q.device}, {where} on {k.device} and its v on {v.device}; move them to one device."
        )


def check_integers(name, tensor, ndim, device):
    if not isinstance(tensor, torch.Tensor) or tensor.dtype not in (torch.int32, torch.int64) or tensor.ndim != ndim:
        raise ParameterError(
            f"{name} is {kind_in_words(tensor)}; it must be an int32 or int64 tensor with {ndim} "
            f"dimension{'s' * (ndim > 1)}."
        )
    if tensor.device != device:
        raise ParameterError(f"{name} is on {tensor.device} and q on {device}; move it there.")


def kind_in_words(value):
    if isinstance(value, torch.Tensor):
        return f"a {value.dtype} tensor of shape {list(value.shape)}"
    return f"a {type(value).__name__}"


def check_mask(causal, window):
    if type(causal) is not bool:
        raise ParameterError(
            f"causal is {causal!r}; give True, where a token sees itself and the tokens before it, or False, where "
            "it sees all of its sequence."
        )
    if window is not None and (type(window) is not int or window < 1):
        raise ParameterError(
            f"window is {window!r}; it is the number of tokens that a token sees, itself included: 1 or more, or "
            "None for all."
        )


def check_cu_seqlens(name, cu_seqlens, num_tokens, device):
    check_integers(name, cu_seqlens, 1, device)
    if len(cu_seqlens) == 0:
        raise ParameterError(f"{name} is empty; it begins with 0 and has one more number for each sequence.")
    if _contents_checked(cu_seqlens):
        ends = cu_seqlens.tolist()
        if ends[0] != 0 or ends[-1] != num_tokens or any(a > b for a, b in zip(ends, ends[1:])):
            raise ParameterError(
                f"{name} is {ends[:8]}{' ...' if len(ends) > 8 else ''}; it is the running sum of the lengths, so it "
                f"must begin with 0, never decrease, and end with the {num_tokens} tokens of q."
            )


def check_packed(q, k, v, cu_seqlens, causal, window, scale):
    """The arguments of flash_attention. Returns the scale."""
    check_heads(q, k, v)
    if k.ndim != 3 or len(k) != len(q):
        raise ParameterError(
            f"q has shape {list(q.shape)} and k {list(k.shape)}; here every token has a query and a key. For "
            "keys of earlier steps use paged_attention."
        )
    check_cu_seqlens("cu_seqlens", cu_seqlens, len(q), q.device)
    check_mask(causal, window)
    return check_scale(scale, q.shape[2])


def check_kernel_inputs(kernel, *tensors):
    """Raises ParameterError for what the kernels cannot do. kernel: a jitted function; tensors: q, k, v."""
    q = tensors[0]
    interpreted = type(kernel).__name__ == "InterpretedFunction"
    if q.dtype not in KERNEL_DTYPES:
        raise ParameterError(
            f"The kernels take float32, float16 and bfloat16, not {q.dtype}. The torch twins take it: "
            "course_lib.attention.reference.twins."
        )
    if q.shape[-1] > MAX_HEAD_DIM:
        raise ParameterError(
            f"The kernels take a head_dim of up to {MAX_HEAD_DIM}, not {q.shape[-1]}: a row of the output would not "
            "fit the registers. The torch twins take it: course_lib.attention.reference.twins."
        )
    if interpreted and q.dtype == torch.bfloat16:
        raise ParameterError(
            "Triton's interpreter computes bfloat16 wrongly and reports no error. Use float32 here, or a GPU."
        )
    if not interpreted and q.device.type != "cuda":
        raise ParameterError(
            f"q is on {q.device}, and this Triton compiles for a GPU. Move the tensors to 'cuda', or set "
            "TRITON_INTERPRET=1 before Python starts, to interpret the kernels."
        )
    if q.device.type == "cuda" and q.device.index != torch.cuda.current_device():
        raise ParameterError(
            f"q is on {q.device}, but kernels are launched on cuda:{torch.cuda.current_device()}, the current device. "
            f"Call torch.cuda.set_device({q.device.index}) first."
        )
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        raise ParameterError(
            "The kernels have no backward pass, and one of the tensors requires a gradient. Call under "
            "torch.no_grad(), or use the torch twins: course_lib.attention.reference.twins."
        )
