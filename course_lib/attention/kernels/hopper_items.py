"""Which tile of queries a persistent program of hopper.py computes next. In Gluon; imports Triton.

An item is one head and one slot: a place for a tile of queries, as in find_sequence of online.py. Each program begins
with the item of its own number and takes the next one that nobody has from a counter in global memory, so that no
program waits while another one has items left. The producer asks the counter and tells the consumers:

    items      2 places in shared memory: the item after this one is there while this one is computed
    bars       mbarriers `full` and `empty` of each place
"""

from course_lib.machine import gluon_start  # noqa: F401  (before Gluon)

# isort: split
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia import hopper as nv

TILE = gl.constexpr(128)  # queries of a tile, and keys of a tile of K and V
PLACE = gl.constexpr(32)  # numbers of a place: the same one for each thread of a warp


@gluon.jit
def take_next(queue, n):
    """The item after the n-th one of this program, from the counter. For the producer, a warp."""
    items, full, empty, counter_ptr = queue
    following = gl.atomic_add(counter_ptr, 1) + gl.num_programs(0)
    nv.mbarrier.wait(empty.index(n % 2), (n // 2) & 1 ^ 1)
    items.index(n % 2).store(gl.full([PLACE], following, gl.int32, gl.BlockedLayout([1], [32], [1], [0])))
    nv.mbarrier.arrive(full.index(n % 2), count=1)
    return following


@gluon.jit
def hear_next(queue, n):
    """The item after the n-th one of this program, from the producer. For a consumer, 4 warps."""
    items, full, empty, counter_ptr = queue
    nv.mbarrier.wait(full.index(n % 2), (n // 2) & 1)
    following = gl.max(items.index(n % 2).load(gl.BlockedLayout([1], [32], [4], [0])), axis=0)
    nv.mbarrier.arrive(empty.index(n % 2), count=1)
    return following


@gluon.jit
def locate(item, where):
    """(first row of the sequence, its length, query tile, head) of an item. There may be no such tile: then
    tile * TILE >= length.

    Slots are taken from the last to the first, each for all heads: so the long tiles of a sequence come before its
    short ones, and the programs end at nearly the same time. The search is that of find_sequence in online.py.
    """
    cu_seqlens_ptr, num_seqs, num_slots, num_heads = where
    slot = num_slots - 1 - item // num_heads
    low = slot * 0
    high = low + num_seqs
    while low < high:
        middle = (low + high) // 2
        if gl.load(cu_seqlens_ptr + middle).to(gl.int32) // TILE + middle <= slot:
            low = middle + 1
        else:
            high = middle
    sequence = low - 1
    start = gl.load(cu_seqlens_ptr + sequence).to(gl.int32)
    length = gl.load(cu_seqlens_ptr + sequence + 1).to(gl.int32) - start
    return start, length, slot - (start // TILE + sequence), item % num_heads
