"""The least that a learner's allocator needs."""

from collections import deque


class Mine:
    """A learner's allocator with what AllocatorProtocol needs and nothing else."""

    def __init__(self, num_blocks, block_size):
        self.num_blocks, self.block_size = num_blocks, block_size
        self.free_ids, self.counts = deque(range(num_blocks)), [0] * num_blocks

    @property
    def num_free(self):
        return len(self.free_ids)

    def allocate(self, n=1):
        if n > len(self.free_ids):
            return None
        blocks = [self.free_ids.popleft() for _ in range(n)]
        for b in blocks:
            self.counts[b] = 1
        return blocks

    def fork(self, block_ids):
        for b in block_ids:
            self.counts[b] += 1

    def free(self, block_ids):
        for b in block_ids:
            self.counts[b] -= 1
            if self.counts[b] == 0:
                self.free_ids.append(b)

    def ref_count(self, block_id):
        return self.counts[block_id]
