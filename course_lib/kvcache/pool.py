"""The tensors behind the ledger: what is in the blocks. It knows no sequences, only blocks and slots.

k[layer], v[layer]: [num_blocks, block_size, num_kv_heads, head_dim]

slot = block_id * block_size + offset: the same memory as [num_blocks * block_size, num_kv_heads, head_dim]
"""

import torch

from course_lib.errors import ParameterError
from course_lib.machine.device import default_device, default_dtype

from .allocator import whole


class KVPool:
    """Keys and values of every layer in `num_blocks` blocks of `block_size` tokens.

    config: the ModelConfig of the model. device, dtype: where the model is and what it computes in; default: what
    `load_model` takes on this machine. Raises ParameterError for sizes that hold nothing.
    """

    def __init__(self, config, num_blocks, block_size, device=None, dtype=None):
        whole("num_blocks", num_blocks, at_least=1)
        whole("block_size", block_size, at_least=1)
        self.num_blocks, self.block_size = num_blocks, block_size
        device = torch.device(device or default_device())
        self.dtype = dtype or default_dtype(device)
        self.head_shape = (config.num_kv_heads, config.head_dim)
        shape = (config.num_layers, num_blocks, block_size, *self.head_shape)
        self.k, self.v = (torch.zeros(shape, device=device, dtype=self.dtype) for _ in "kv")
        self.copy_stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    @property
    def by_token(self):
        """All that is kept, [num_layers, num_blocks, block_size, ...] each: what is copied, saved and restored."""
        return self.k, self.v

    def write(self, layer, slot_mapping, k, v):
        """Scatters: token i goes to slot `slot_mapping[i]`.

        slot_mapping: int64 [num_tokens]; k, v: [num_tokens, num_kv_heads, head_dim].
        """
        self.k[layer].flatten(0, 1)[slot_mapping] = k
        self.v[layer].flatten(0, 1)[slot_mapping] = v

    def gather(self, layer, block_table, num_tokens):
        """The first `num_tokens` tokens of a sequence in one piece again: k and v, [num_tokens, num_kv_heads,
        head_dim].

        block_table: int64 [num_blocks of the sequence], in the order of its tokens.
        """
        return tuple(kept[layer][block_table].flatten(0, 1)[:num_tokens] for kept in (self.k, self.v))

    def take(self, layer, slots):
        """What stands in these slots: k and v, [*slots.shape, num_kv_heads, head_dim]. slots: int64."""
        return tuple(
            kept[layer].flatten(0, 1).index_select(0, slots.flatten()).unflatten(0, slots.shape)  # faster than [slots]
            for kept in (self.k, self.v)
        )

    def layer(self, layer):
        """One layer for the kernels of attention: its k and v as they are stored, and the scales to pass by name."""
        return self.k[layer], self.v[layer], {}

    def divided(self, layer, k):
        """Keys as they are stored. A QuantisedPool may store them divided by numbers of its own."""
        return k

    def multiplied(self, layer, q):
        """Queries for keys as they are stored."""
        return q

    def copy_blocks(self, copies):
        """Copies whole blocks in every layer, as if one pair after the other. copies: (source, destination) ids.

        Raises ParameterError for an id that does not exist, and then copies nothing.
        """
        copies = list(copies)
        for b in (b for pair in copies for b in pair):
            if type(b) is not int or not 0 <= b < self.num_blocks:
                raise ParameterError(
                    f"Block {b!r} cannot be copied; this pool has 0 to {self.num_blocks - 1}. Is the "
                    f"allocator made for a larger pool?"
                )
        while copies:
            together = independent(copies)
            sources, destinations = (self._ids(ids) for ids in zip(*copies[:together]))
            for kept in self.by_token:
                kept[:, destinations] = kept[:, sources]
            copies = copies[together:]

    def save(self, block_ids, num_tokens):
        """The first `num_tokens` tokens in these blocks, of every layer, in CPU memory: to be given to `restore`.

        A block id of -1 stands for a block that was given back, whose tokens are not saved. Returns (tensors
        [num_layers, saved tokens, ...], the number of each saved token). On a GPU the memory is pinned, and the copy
        runs on `copy_stream` beside the kernels of the next steps: it is complete when that stream is.
        """
        size = self.block_size
        tokens = [i for i in range(num_tokens) if block_ids[i // size] >= 0]
        blocks, places = self._places([block_ids[i // size] * size + i % size for i in tokens])
        return tuple(self._to_cpu(kept[:, blocks, places]) for kept in self.by_token), tokens

    def restore(self, saved, start, slots):
        """Writes saved tokens from number `start` on to these slots, one slot a token; the tokens before are not
        written, nor is a token whose slot is -1.
        """
        tensors, tokens = saved
        rows = [(row, slots[i - start]) for row, i in enumerate(tokens) if 0 <= i - start < len(slots)]
        rows = [(row, slot) for row, slot in rows if slot >= 0]
        if not rows:
            return
        rows, slots = zip(*rows)
        blocks, places = self._places(slots)
        part = slice(rows[0], rows[-1] + 1) if rows[-1] - rows[0] == len(rows) - 1 else self._ids(rows)
        for kept, back in zip(self.by_token, tensors):  # all of it: the CPU would read a part before `save` has ended
            kept[:, blocks, places] = self._to_pool(back)[:, part]

    def _places(self, slots):
        slots = self._ids(slots)
        return slots // self.block_size, slots % self.block_size

    def _ids(self, ids):
        """int64, on the device of the pool; the CPU does not wait for the GPU."""
        made = torch.tensor(ids, dtype=torch.int64)
        return made if self.copy_stream is None else made.pin_memory().to(self.k.device, non_blocking=True)

    def _to_cpu(self, tensor):
        """A copy in CPU memory; of a tensor on a GPU in pinned memory, which the GPU writes while the CPU goes on."""
        if self.copy_stream is None:
            return tensor.clone()
        tensor, out = tensor.contiguous(), torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        self.copy_stream.wait_stream(torch.cuda.current_stream(tensor.device))
        with torch.cuda.stream(self.copy_stream):
            out.copy_(tensor, non_blocking=True)
        tensor.record_stream(self.copy_stream)
        return out

    def _to_pool(self, tensor):
        """A saved tensor on the device of the pool; after the copies that `save` began."""
        if self.copy_stream is None:
            return tensor
        now = torch.cuda.current_stream(self.k.device)
        with torch.cuda.stream(self.copy_stream):
            back = tensor.to(self.k.device, non_blocking=True)
        now.wait_stream(self.copy_stream)
        back.record_stream(now)
        return back

    @property
    def num_bytes(self):
        """Bytes of all blocks, whether anything is in them or not."""
        return sum(kept.nbytes for kept in self.by_token)

    def __repr__(self):
        return f"KVPool({self.num_blocks} blocks of {self.block_size} tokens, {self.num_bytes:,} bytes)"


def independent(copies):
    """How many pairs from the first on can be copied at once: none of them touches a block that an earlier one
    wrote.
    """
    written = set()
    for i, (source, destination) in enumerate(copies):
        if source in written or destination in written:
            return i
        written.add(destination)
    return len(copies)
