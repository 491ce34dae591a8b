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
        shape = (config.num_layers, num_blocks, block_size, config.num_kv_heads, config.head_dim)
        self.k, self.v = (torch.zeros(shape, device=device, dtype=dtype or default_dtype(device)) for _ in "kv")

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
            sources, destinations = map(list, zip(*copies[:together]))
            for kept in (self.k, self.v):
                kept[:, destinations] = kept[:, sources]
            copies = copies[together:]

    def save(self, block_ids, num_tokens):
        """The first `num_tokens` tokens in these blocks, of every layer, in CPU memory: (k, v), to be given to
        `restore`.

        Each is [num_layers, num_tokens, num_kv_heads, head_dim]. On a GPU the memory is pinned and the copy runs on the
        current stream: it is complete when that stream is.
        """
        blocks = torch.tensor(block_ids, device=self.k.device)
        return tuple(to_cpu(kept[:, blocks].flatten(1, 2)[:, :num_tokens]) for kept in (self.k, self.v))

    def restore(self, saved, start, slots):
        """Writes saved tokens from number `start` on to these slots, one slot a token; the tokens before are not
        written.
        """
        if not slots:
            return
        at = torch.tensor(slots, device=self.k.device)
        for kept, back in zip((self.k, self.v), saved):
            part = back[:, start : start + len(slots)]
            kept.flatten(1, 2)[:, at] = part.to(kept.device, non_blocking=True)

    @property
    def num_bytes(self):
        """Bytes of all blocks, whether anything is in them or not."""
        return self.k.nbytes + self.v.nbytes

    def __repr__(self):
        return f"KVPool({self.num_blocks} blocks of {self.block_size} tokens, {self.num_bytes:,} bytes)"


def to_cpu(tensor):
    """A copy in CPU memory; of a tensor on a GPU in pinned memory, which the GPU writes while the CPU goes on."""
    if not tensor.is_cuda:
        return tensor.clone()
    out = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return out.copy_(tensor, non_blocking=True)


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
