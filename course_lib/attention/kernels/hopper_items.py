"""Which tile of queries a persistent program of hopper.py computes next. In Gluon; imports Triton.

A program takes items in rounds, and an item is one head and one slot: a place for a tile of queries, as in
find_sequence of online.py. No program needs to know what another one has taken.
"""

from course_lib.machine import gluon_start  # noqa: F401  (before Gluon)

# isort: split
from triton.experimental import gluon
from triton.experimental.gluon import language as gl

TILE = gl.constexpr(128)  # queries of a tile, and keys of a tile of K and V


@gluon.jit
def num_items(total):
    """The number of items of this program. Each round gives one item to each program."""
    rounds = total // gl.num_programs(0)
    left = total - rounds * gl.num_programs(0)
    return rounds + gl.where(item_of(rounds) - rounds * gl.num_programs(0) < left, 1, 0)


@gluon.jit
def item_of(r):
    """The item of this program in round r.

    The direction alternates because items get shorter, and every two rounds all programs move on by 37: otherwise
    sequences of one length can give the longest items to the same program again and again. By simulation, the busiest
    of 132 programs then computes 1.02 to 1.15 times the mean for packs of long and of mixed lengths.
    """
    pid = gl.program_id(0)
    programs = gl.num_programs(0)
    return r * programs + (gl.where(r % 2 == 1, programs - 1 - pid, pid) + r // 2 * 37) % programs


@gluon.jit
def locate(item, where):
    """(first row of the sequence, its length, query tile, head) of an item. There may be no such tile: then
    tile * TILE >= length.

    Slots are taken from the last to the first, each for all heads: so the long tiles of a sequence come before its
    short ones, and the last round is short. The search is that of find_sequence in online.py.
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
