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
    """The number of items of this program. Round r gives one item to each program, in alternating direction."""
    rounds = total // gl.num_programs(0)
    left = total - rounds * gl.num_programs(0)
    return rounds + gl.where(item_of(rounds) - rounds * gl.num_programs(0) < left, 1, 0)


@gluon.jit
def item_of(r):
    """The item of this program in round r. The direction alternates because items become shorter."""
    pid = gl.program_id(0)
    programs = gl.num_programs(0)
    return r * programs + gl.where(r % 2 == 1, programs - 1 - pid, pid)


@gluon.jit
def locate(item, where):
    """(first row of the sequence, its length, query tile, head) of an item. There may be no such tile: then
    tile * TILE >= length.

    An item is a head and a slot; a slot is a tile of find_sequence in online.py, which says how many there are. If all
    sequences have one length, each has slots_per_seq slots, and the last tiles of all, which take longest, come first.
    """
    cu_seqlens_ptr, num_seqs, slots_per_seq, num_heads = where
    turn = item // num_heads
    slot = turn % num_seqs * slots_per_seq + (slots_per_seq - 1 - turn // num_seqs)
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
