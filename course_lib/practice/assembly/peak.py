"""The most memory that tensors take while some code runs, beside what was there before."""

import contextlib

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from course_lib.practice.fixtures.operations import Operations


class PeakTensors(Operations):
    """Counts the bytes of all tensors that are made while it lasts; `peak` is the most that were alive at once.

    known: tensors that count as there before, such as weights; their views count nothing. What an operation takes and
    gives back inside itself is not seen.
    """

    def __init__(self, known=()):
        super().__init__()
        self.known = {tensor.untyped_storage().data_ptr() for tensor in known}
        self.alive, self.counted, self.peak = {}, 0, 0
        """alive: {address: (storage, bytes)}, in which ended storages stay until `counted` passes the peak."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for made in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(made, torch.Tensor):
                self._count(made.untyped_storage())
        return out

    def _count(self, storage):
        address, size = storage.data_ptr(), storage.nbytes()
        if address in self.known or size == 0:
            return
        before = self.alive.get(address)
        if before is not None:
            if not before[0].expired() and before[1] == size:
                return  # a view, or the result of an operation in place
            self.counted -= before[1]
        self.alive[address] = StorageWeakRef(storage), size
        self.counted += size
        if self.counted > self.peak:
            self._forget_ended()
            self.peak = max(self.peak, self.counted)

    def _forget_ended(self):
        for address in [address for address, (storage, _) in self.alive.items() if storage.expired()]:
            self.counted -= self.alive.pop(address)[1]


@contextlib.contextmanager
def peak_of(model):
    """Yields a function that returns the peak in bytes, beside the model's weights, of what ran in the block so far."""
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
        before = torch.cuda.memory_allocated(model.device)
        torch.cuda.reset_peak_memory_stats(model.device)
        yield lambda: torch.cuda.max_memory_allocated(model.device) - before
        return
    with PeakTensors(model.parameters()) as meter:
        yield lambda: meter.peak
