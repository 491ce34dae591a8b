"""What the ranks do together: add, gather, and agree on a number. By torch.distributed: NCCL on GPUs, gloo on CPUs.

    all_reduce     rank 0: [1 2]   rank 1: [10 20]      both: [11 22]              after o_proj and down_proj
    gather         rank 0: [1 2]   rank 1: [10 20]      both: [1 2 10 20]          the logits, at the end of a step

Every rank must call the same functions in the same order: each waits for the others. On GPUs all of it runs in the
stream of the model, so a CUDA graph can hold it.
"""

import os
import sys
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from course_lib.errors import ParallelError, ParameterError

MOST_BYTES = 2**21
"""Up to so many bytes the GPUs read each other's memory directly. NCCL takes longer for a few numbers."""


class Group:
    """The ranks of one model, as one of them sees them.

    rank, size: this process, and how many there are. device: where its part of the model is. store: a
    torch.distributed Store that all of them reach; None: torchrun has made one. There is one group in a process at a
    time. Raises ParameterError where there is one already.
    """

    def __init__(self, rank, size, device, store=None, timeout=timedelta(minutes=30)):
        if dist.is_initialized():
            raise ParameterError(
                "This process is part of a group of processes already, and torch.distributed has room for one. Close "
                "the engine or model that made it: engine.close(), or model.ranks.close()."
            )
        self.rank, self.size, self.device, self.direct = rank, size, torch.device(device), None
        self.is_open = True  # False: the others are not in this step, and would never answer
        is_gpu = self.device.type == "cuda"
        if is_gpu:
            torch.cuda.set_device(self.device)
        with _on_this_machine():
            dist.init_process_group(
                "nccl" if is_gpu else "gloo", store=store, rank=rank if store else -1, world_size=size if store else -1,
                timeout=timeout, device_id=self.device if is_gpu else None,
            )  # fmt: skip
        if is_gpu and size > 1:
            self._try_direct()

    def all_reduce(self, x):
        """The sum of x over all ranks, the same bits on each. x: contiguous; it may be written. Returns its like."""
        self._check_open()
        if self.direct is not None and x.nbytes <= MOST_BYTES and x.dtype == torch.bfloat16:
            return self._sum_directly(x)
        dist.all_reduce(x)
        return x

    def gather(self, x):
        """The columns of all ranks beside one another. x: [rows, n], contiguous. Returns [rows, size * n]."""
        self._check_open()
        rows, n = x.shape
        out = torch.empty((self.size, rows, n), dtype=x.dtype, device=x.device)
        gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor  # torch 2.13 changed the name
        gather(out.view(-1, n), x)
        return out.transpose(0, 1).reshape(rows, self.size * n)

    def least(self, number):
        """The smallest of the whole numbers that the ranks bring."""
        self._check_open()
        tensor = torch.tensor(number, dtype=torch.int64, device=self.device)
        dist.all_reduce(tensor, dist.ReduceOp.MIN)
        return int(tensor)

    def _check_open(self):
        if not self.is_open:
            raise ParallelError(
                f"This model is the part of rank {self.rank} of {self.size}, and the other processes wait for steps "
                f"of an engine: a call of the model alone would never end. Use Engine(model, EngineConfig("
                f"tensor_parallel={self.size}))."
            )

    def _try_direct(self):
        """Memory that the GPUs read from each other, if all of them can. It does not use NVLink's multicast."""
        try:
            import torch.distributed._symmetric_memory as symmetric

            buffer = symmetric.empty(MOST_BYTES // 2, dtype=torch.bfloat16, device=self.device)
            symmetric.rendezvous(buffer, dist.group.WORLD)
            self.direct = buffer
            x = torch.arange(4096, device=self.device).remainder(64).bfloat16() * (self.rank + 1)
            is_right = torch.equal(self._sum_directly(x.clone()) * 2, x / (self.rank + 1) * self.size * (self.size + 1))
        except Exception:  # no such memory with these GPUs, this driver or this torch
            is_right = False
        if not self.least(int(is_right)):
            self.direct = None

    def _sum_directly(self, x):
        buffer = self.direct[: x.numel()].view(x.shape)
        return torch.ops.symm_mem.one_shot_all_reduce_copy(buffer, x, "sum", dist.group.WORLD.group_name)

    def close(self, abort=False):
        """Leaves the group. abort: what is under way on the GPU ends too; another rank will never answer."""
        if not dist.is_initialized():
            return
        self.is_open, self.direct = False, None
        if abort and self.device.type == "cuda":
            dist.distributed_c10d._abort_process_group()
        else:
            dist.destroy_process_group()


@contextmanager
def _on_this_machine():
    """gloo talks over the loopback interface, where the user named no other: it is there without any network."""
    name, kept = "GLOO_SOCKET_IFNAME", os.environ.get("GLOO_SOCKET_IFNAME")
    if kept is None and os.environ.get("MASTER_ADDR", "127.0.0.1") in ("127.0.0.1", "localhost"):
        os.environ[name] = "lo0" if sys.platform == "darwin" else "lo"
    try:
        yield
    finally:
        if kept is None:
            os.environ.pop(name, None)
