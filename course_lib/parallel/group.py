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

MEET = timedelta(seconds=60)
"""In which ranks on CPUs that are all there find each other. Nothing can end the making of a group, so it is short."""


class Group:
    """The ranks of one model, as one of them sees them.

    rank, size: this process, and how many there are. device: where its part of the model is. store: a
    torch.distributed Store that all of them reach; None: torchrun has made one. timeout: a datetime.timedelta, after
    which a rank that does not come counts as lost. There is one group in a process at a time. Raises ParameterError
    where there is one already.
    """

    def __init__(self, rank, size, device, store=None, timeout=timedelta(minutes=30)):
        check_no_group()
        self.rank, self.size, self.device, self.direct = rank, size, torch.device(device), None
        self.is_open = True  # False: the others are not in this step, and would never answer
        is_gpu = self.device.type == "cuda"
        if is_gpu:
            torch.cuda.set_device(self.device)
            os.environ.setdefault("TORCH_NCCL_ASYNC_ERROR_HANDLING", "2")  # else a lost rank would end this process too
        meets = store is not None and not is_gpu
        with _on_this_machine():
            dist.init_process_group(
                "nccl" if is_gpu else "gloo", store=store, rank=rank if store else -1, world_size=size if store else -1,
                timeout=min(timeout, MEET) if meets else timeout, device_id=self.device if is_gpu else None,
            )  # fmt: skip
        if meets:
            dist.distributed_c10d._set_pg_timeout(timeout)
        if is_gpu and size > 1:
            self._try_direct()

    def all_reduce(self, x, add_to=None):
        """The sum of x over all ranks, the same bits on each; or add_to, to which it was added in place. x: contiguous;
        it may be written.
        """
        self._check_open()
        if self.direct is not None and self.direct.takes(x):
            return self.direct(x, add_to)
        dist.all_reduce(x)
        return x if add_to is None else add_to.add_(x)

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
        """The sum of a few numbers without NCCL, if the GPUs can reach each other's memory, and the sum is right."""
        try:
            from .direct import DirectSum

            direct = DirectSum(self)
            draw, is_right = torch.Generator(self.device).manual_seed(0), True
            for _ in range(8):
                parts = torch.randint(-16, 16, (self.size, 5000), device=self.device, generator=draw).bfloat16()
                is_right &= torch.equal(direct(parts[self.rank]), parts.sum(0))
        except Exception:  # not with these GPUs, this driver or this torch: NCCL finds a way
            is_right = False
        if self.least(int(is_right)):
            self.direct = direct

    def close(self, abort=False):
        """Leaves the group. abort: what is under way on the GPU ends too; another rank will never answer."""
        if not dist.is_initialized():
            return
        self.is_open = False
        if abort and self.device.type == "cuda":
            if self.direct is not None:
                self.direct.give_up()
            dist.distributed_c10d._abort_process_group()
        else:
            dist.destroy_process_group()


def check_no_group():
    """Raises ParameterError where this process is in a group already."""
    if dist.is_initialized():
        raise ParameterError(
            "This process is part of a group of processes already, and torch.distributed has room for one. Close "
            "the engine or model that made it: engine.close(), or model.ranks.close()."
        )


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
