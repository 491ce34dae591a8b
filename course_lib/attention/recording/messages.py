"""What is sent between the two Pythons of a recording: tensors apart from their memory, and messages as bytes.

Several tensors can be views of one memory. So the memory is sent once, and each tensor as a View of it.
"""

import copy
import io
from dataclasses import dataclass

import torch

from course_lib.errors import ParameterError


@dataclass(frozen=True)
class View:
    """A tensor without its memory."""

    memory: int
    """Which of the memories that are sent with it, from 0."""
    dtype: torch.dtype
    offset: int
    shape: tuple
    strides: tuple

    def over(self, memories):
        """The tensor, over memories: a list of uint8 tensors."""
        return torch.empty(0, dtype=self.dtype).set_(
            memories[self.memory].untyped_storage(), self.offset, self.shape, self.strides
        )


def without_memory(value, memory):
    """The value with a View for each tensor in it. memory: {address: (storage, its bytes on the CPU)}, which fills.

    Raises ParameterError for bfloat16, which Triton's interpreter computes wrongly.
    """

    def view(tensor):
        if tensor.dtype == torch.bfloat16:
            raise ParameterError(
                "Triton's interpreter computes bfloat16 wrongly and reports no error, so a kernel with bfloat16 "
                "tensors is not recorded. Convert them to float32 first."
            )
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in memory:
            memory[storage.data_ptr()] = storage, torch.empty(0, dtype=torch.uint8).set_(storage.cpu())
        number = list(memory).index(storage.data_ptr())
        return View(number, tensor.dtype, tensor.storage_offset(), tuple(tensor.shape), tensor.stride())

    return _each(value, view)


def with_memory(value, memories):
    """The value with a tensor over `memories` for each View in it."""
    return _each(value, lambda view: view.over(memories))


def _each(value, of_tensor):
    """The value with of_tensor(x) for each tensor or View x: also in lists, tuples and dicts.

    A tensor descriptor, and a tensor that Triton reads as another dtype, hold theirs as `base`.
    """
    if isinstance(value, (torch.Tensor, View)):
        return of_tensor(value)
    if isinstance(value, dict):
        return {name: _each(one, of_tensor) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_each(one, of_tensor) for one in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(getattr(value, "base", None), (torch.Tensor, View)):
        value = copy.copy(value)
        value.base = of_tensor(value.base)
        if "data" in vars(value):
            value.data = value.base
    return value


def packed(message):
    """The message as bytes: its length in 8 bytes, then what torch.save writes."""
    content = io.BytesIO()
    torch.save(message, content)
    return len(content.getbuffer()).to_bytes(8, "little") + content.getvalue()


def unpacked(stream):
    """The next message of a stream of bytes. Raises EOFError at its end."""
    size = stream.read(8)
    if len(size) < 8:
        raise EOFError
    content = stream.read(int.from_bytes(size, "little"))
    return torch.load(io.BytesIO(content), weights_only=False)
