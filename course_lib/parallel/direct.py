"""The sum over GPUs that write into each other's memory, as one Triton kernel, for the few numbers of a decode step.
Imports Triton.

    GPU 0                                   GPU 1
    x --> memory of GPU 1, place of 0       x --> memory of GPU 0, place of 1         over NVLink
    "it is there" --> flag of GPU 1         "it is there" --> flag of GPU 0
    waits for its own flag, adds            waits for its own flag, adds

Each program does this for its own piece, with its own flags. The pieces are added in the order of the ranks, so the sum
has the same bits on each. Places are used in turns: when a program writes for the third time, the other GPU has sent
its second piece, and so has read the first. NCCL does the same with more steps, and takes longer.
Source: one-shot all-reduce, as in vLLM's custom_all_reduce and PyTorch's symmetric memory, from which the memory is.
"""

import torch
import torch.distributed as dist
import torch.distributed._symmetric_memory as symmetric

from course_lib.machine.dependent_launch import let_next_start, pdl, wait_for_previous  # before Triton

# isort: split
import triton
import triton.language as tl

MOST = 2**20  # numbers that are added at once
BLOCK = 1024  # numbers of a program
DONE = 2**62  # a flag that nobody waits for


@triton.jit
def sum_kernel(
    x_ptr, out_ptr, places_ptr, flags_ptr, calls_ptr, n, RANK: tl.constexpr, SIZE: tl.constexpr, MOST: tl.constexpr,
    BLOCK: tl.constexpr, ADD: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """out = sum of x over all ranks, or out += that sum. places, flags: where those of each rank begin, int64 [SIZE].
    calls: how often each program was called, int64.
    """
    program = tl.program_id(0)
    at = program * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    dtype: tl.constexpr = x_ptr.dtype.element_ty
    wait_for_previous(PDL)
    let_next_start(PDL)
    call = tl.load(calls_ptr + program) + 1
    turn = (call % 2) * SIZE
    x = tl.load(x_ptr + at, mask=inside, other=0.0)
    for other in tl.static_range(SIZE):
        if other != RANK:
            place = tl.multiple_of(tl.load(places_ptr + other).to(tl.pointer_type(dtype)), 16)
            tl.store(place + (turn + RANK) * MOST + at, x, mask=inside)
    tl.debug_barrier()  # all threads have written before one of them says so
    for other in tl.static_range(SIZE):
        if other != RANK:
            flags = tl.load(flags_ptr + other).to(tl.pointer_type(tl.int64))
            tl.atomic_xchg(flags + RANK * (MOST // BLOCK) + program, call, sem="release", scope="sys")
    mine = tl.load(flags_ptr + RANK).to(tl.pointer_type(tl.int64))
    for other in tl.static_range(SIZE):
        if other != RANK:
            flag = mine + other * (MOST // BLOCK) + program
            while tl.atomic_add(flag, 0, sem="acquire", scope="sys") < call:
                pass
    tl.debug_barrier()
    total = tl.zeros([BLOCK], tl.float32)
    own = tl.multiple_of(tl.load(places_ptr + RANK).to(tl.pointer_type(dtype)), 16)
    for other in tl.static_range(SIZE):
        if other == RANK:
            total += x.to(tl.float32)
        else:
            here = own + (turn + other) * MOST + at
            total += tl.load(here, mask=inside, other=0.0).to(tl.float32)
    out = total.to(dtype)
    if ADD:
        out = (tl.load(out_ptr + at, mask=inside, other=0.0).to(tl.float32) + out.to(tl.float32)).to(dtype)
    tl.store(out_ptr + at, out, mask=inside)
    tl.store(calls_ptr + program, call)


class DirectSum:
    """Memory of this GPU that the others write to, and theirs. For bfloat16 and float16.

    group: a Group on GPUs; all ranks make this at the same time. Raises whatever torch raises where the GPUs cannot
    reach each other's memory.
    """

    def __init__(self, group):
        self.rank, self.size, self.device = group.rank, group.size, group.device
        places, flags = 2 * self.size * MOST * 2, self.size * (MOST // BLOCK) * 8
        self.memory = symmetric.empty(places + flags, dtype=torch.uint8, device=self.device)
        reached = symmetric.rendezvous(self.memory, dist.group.WORLD)
        self.memory.zero_()
        self.flags = self.memory[places:].view(torch.int64)
        self.places = torch.tensor(reached.buffer_ptrs, dtype=torch.int64, device=self.device)
        self.flags_of = self.places + places
        self.calls = torch.zeros(MOST // BLOCK, dtype=torch.int64, device=self.device)
        torch.cuda.synchronize(self.device)
        dist.barrier()  # nobody writes before all is zero

    def takes(self, x):
        """Whether x can be added here."""
        return x.numel() <= MOST and x.dtype in (torch.bfloat16, torch.float16)

    def __call__(self, x, add_to=None):
        """The sum of x over all ranks, in a new tensor; or add_to, to which it was added. x: contiguous."""
        out = torch.empty_like(x) if add_to is None else add_to
        sum_kernel[(triton.cdiv(x.numel(), BLOCK),)](
            x, out, self.places, self.flags_of, self.calls, x.numel(), RANK=self.rank, SIZE=self.size, MOST=MOST,
            BLOCK=BLOCK, ADD=add_to is not None, num_warps=4, **pdl(self.device),
        )  # fmt: skip
        return out

    def give_up(self):
        """Nobody waits for the others any more: one of them has ended. What is computed from now on is worthless."""
        with torch.cuda.stream(torch.cuda.Stream(self.device)):
            self.flags.fill_(DONE)
            torch.cuda.current_stream().synchronize()
