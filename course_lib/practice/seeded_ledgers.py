"""Allocators with one fault each, in one operation, which may wait for a few calls before it shows."""

from collections import deque

from ..errors import LedgerError, ParameterError

FAULTS = (("allocate", "lost"), ("allocate", "twice"), ("fork", "count"), ("free", "lost"), ("free", "twice"), ("free", "count"))


def seeded(fault, late=1):
    """A class of allocators, made like BlockAllocator(num_blocks, block_size), with the fault (one of FAULTS, or None: no fault).

    late: the how-manieth call of that operation is the first in which it can show.
    """
    if fault is not None and fault not in FAULTS:
        raise ParameterError(f"There is no fault {fault!r} to be had; choose among {', '.join(map(str, FAULTS))}, or None.")
    return type("SeededAllocator", (_Seeded,), {"fault": fault, "late": late})


class _Seeded:
    def __init__(self, num_blocks, block_size):
        self.num_blocks, self.block_size = num_blocks, block_size
        self._list, self._count = deque(range(num_blocks)), [0] * num_blocks
        self._calls = {"allocate": 0, "fork": 0, "free": 0}

    num_free = property(lambda self: len(self._list))

    def ref_count(self, block_id):
        return self._count[block_id]

    def _has(self, operation, fault):
        return self.fault == (operation, fault) and self._calls[operation] >= self.late

    def allocate(self, n=1):
        self._calls["allocate"] += 1
        if n > len(self._list):
            if self._has("allocate", "lost"):  # takes what is there, then sees that it is not enough
                self._list.clear()
            return None
        blocks = [self._list.popleft() for _ in range(n)]
        for b in blocks:
            self._count[b] = 1
        if blocks and self._has("allocate", "twice"):  # the last one stays in the free list
            self._list.append(blocks[-1])
        return blocks

    def fork(self, block_ids):
        self._calls["fork"] += 1
        self._check(block_ids)
        for b in list(block_ids)[: 1 if self._has("fork", "count") else None]:  # the first one only
            self._count[b] += 1

    def free(self, block_ids):
        self._calls["free"] += 1
        self._check(block_ids)
        block_ids = list(block_ids)
        for b in block_ids:
            if self._has("free", "count") and self._count[b] > 1:  # a shared one stays as it is
                continue
            self._count[b] -= 1
            if self._has("free", "twice") and b not in self._list:  # free, whoever else holds it
                self._list.append(b)
            elif self._count[b] == 0 and b not in self._list and not (self._has("free",
                                                                                "lost") and b == block_ids[-1]):  # all but the last
                self._list.append(b)

    def _check(self, block_ids):
        for b in block_ids:
            if self._count[b] == 0:
                raise LedgerError(f"Nobody holds block {b}.")


LedgerA, LedgerB, LedgerC, LedgerD = seeded(("free", "lost")), seeded(("free", "twice"), 2), seeded(("fork", "count")), seeded(("allocate", "lost"), 2)
"""The four of the exercise."""
