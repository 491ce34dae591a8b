"""What a captured graph does with the buffers of 13.graph_buckets: it reads the memory that it was captured with."""

from types import SimpleNamespace

import torch

from course_lib.attention.reference.twins import paged_decode, store_kv
from course_lib.errors import CourseError
from course_lib.kvcache import BlockAllocator, BlockTable, KVPool
from course_lib.models import ModelConfig

FIELDS = ("token_ids", "positions", "slots", "seq_lens", "block_tables")
VOCAB, CONTEXT, BLOCK_SIZE = 100, 64, 2


def made_step(rows, width=None):
    """The tensors of a decode step: {name: tensor}. rows: (token, block ids, length) of each sequence.

    width: columns of the block table; default: blocks of the longest. The rest of a row is -1.
    """
    width = width or max(len(blocks) for _, blocks, _ in rows)
    position = [length - 1 for _, _, length in rows]
    slots = [b[at // BLOCK_SIZE] * BLOCK_SIZE + at % BLOCK_SIZE for (_, b, _), at in zip(rows, position)]
    return {
        "token_ids": torch.tensor([token for token, _, _ in rows]),
        "positions": torch.tensor(position),
        "slots": torch.tensor(slots),
        "seq_lens": torch.tensor([length for _, _, length in rows]),
        "block_tables": torch.tensor([b + [-1] * (width - len(b)) for _, b, _ in rows], dtype=torch.int32),
    }  # fmt: skip


class Graph:
    """A stand-in for the captured graphs: it keeps the memory that `buffers` has now, and each replay reads it."""

    def __init__(self, buffers):
        # A view: a graph knows addresses, and `tensor.data = other` gives the same object another one.
        self.memory = SimpleNamespace(**{name: getattr(buffers, name)[:] for name in FIELDS})

    def rows(self, size):
        """What the first `size` rows make a graph do: (token, position, slot that is written, slots that are read)."""
        found = []
        for token, position, slot, length, table in zip(*(getattr(self.memory, name)[:size] for name in FIELDS)):
            read = [int(table[at // BLOCK_SIZE]) * BLOCK_SIZE + at % BLOCK_SIZE for at in range(int(length))]
            read = read if length >= 0 else [f"{length} (its length)"]
            found.append((int(token), int(position), int(slot), read))
        return found

    def replay(self, size, pool):
        """Attention of one layer on the first `size` rows: [size, 2]. Writes to the pool.

        Keys, values and queries are made of the token and its position.
        """
        ids, positions, slots, seq_lens, tables = (getattr(self.memory, name)[:size] for name in FIELDS)
        if not ((0 <= ids) & (ids < VOCAB) & (0 <= positions) & (positions < CONTEXT)).all():
            raise CourseError(
                "A row of the graph looks up a token or a position that the model does not have. A row of padding "
                "needs a token and a position too: 0 and 0."
            )
        x = torch.stack([torch.sin(ids + 1.0), torch.cos(positions + ids / 7)], 1)[:, None]
        store_kv(x, 2 * x, pool.k[0], pool.v[0], slots)
        return paged_decode(x, pool.k[0], pool.v[0], tables, seq_lens)[:, 0]


def told(row):
    """A row as text: what it looks up, writes and reads."""
    token, position, slot, read = row
    does = f"writes slot {slot}, " if slot >= 0 else "writes nothing, "
    does += f"reads {'slot' if len(read) == 1 else 'slots'} {' '.join(map(str, read))}" if read else "reads nothing"
    return f"token {token} at {position}: {does}"


def padding(row):
    """A row after the step's own as text: "padding" where it does no harm, whatever it looks up."""
    token, position, slot, read = row
    if slot == -1 and not read and 0 <= token < VOCAB and 0 <= position < CONTEXT:
        return "padding"
    return f"slot {slot}: " * (slot < -1) + told(row)


def graph_steps(buffers, steps):
    """Fills the buffers with each step and tells what the graph of that size does: a list of texts, a row each.

    steps: tensors by name, as `made_step` makes them. A step that no graph is large enough for is "eager".
    """
    graph, lines = Graph(buffers), []
    for number, step in enumerate(steps):
        size, n = buffers.fill(**step), len(step["token_ids"])
        if size is None:
            lines.append(f"step {number}: eager")
            continue
        lines.append(f"step {number}: a graph of {size}")
        lines += [f"  row {i}  {told(row) if i < n else padding(row)}" for i, row in enumerate(graph.rows(size))]
    return lines


def stale_pool(steps):
    """A KVPool that holds nan but in the slots of the tokens that the steps read from before."""
    config = ModelConfig(
        vocab_size=VOCAB, hidden_size=2, intermediate_size=2, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=2
    )
    pool = KVPool(config, 16, BLOCK_SIZE, device="cpu", dtype=torch.float32)
    pool.k.fill_(float("nan"))
    pool.v.fill_(float("nan"))
    for step in steps:
        for table, length in zip(step["block_tables"].tolist(), step["seq_lens"].tolist()):
            for at in range(length - 1):
                slot = table[at // BLOCK_SIZE] * BLOCK_SIZE + at % BLOCK_SIZE
                pool.k.view(-1, 2)[slot] = torch.tensor([at / 3, 1.0])
                pool.v.view(-1, 2)[slot] = torch.tensor([1.0 + at, slot / 5])
    return pool


def graph_outputs(buffers, steps):
    """Replays each step on a pool that is nan wherever no sequence has a token: for each step, (outputs of all rows
    of the graph, slots that were written).
    """
    graph, pool, found = Graph(buffers), stale_pool(steps), []
    for step in steps:
        size = buffers.fill(**step)
        before = pool.k.clone().view(-1, 2)
        out = graph.replay(size, pool)
        now = pool.k.view(-1, 2)
        same = (before == now) | (before.isnan() & now.isnan())
        found.append((out, (~same.all(1)).nonzero().flatten().tolist()))
    return found


class GraphCache:
    """The cache of a model whose decode steps come from GraphBuffers. pool: a KVPool."""

    def __init__(self, pool):
        self.pool = pool

    def begin(self, memory, size):
        self.slots, self.seq_lens = memory.slots[:size], memory.seq_lens[:size]
        self.tables = memory.block_tables[:size]

    def attend(self, layer, q, k, v):
        k_cache, v_cache = self.pool.k[layer], self.pool.v[layer]
        store_kv(k, v, k_cache, v_cache, self.slots)
        return paged_decode(q, k_cache, v_cache, self.tables, self.seq_lens)


def write_in_graphs(model, prompts, max_tokens, buffers, block_size=4):
    """Writes max_tokens[i] tokens for each prompt, all sequences together, each step on rows of `buffers`.

    A prompt is fed token by token, so that every step is a decode step. In place of a captured graph the model runs
    on the first rows of the buffers. Returns (the tokens of each prompt, {size: how many steps ran at it}). Blocks of
    the pool that no sequence has hold nan.
    """
    longest = max(len(prompt) + n for prompt, n in zip(prompts, max_tokens))
    allocator = BlockAllocator(len(prompts) * -(-longest // block_size) + 2, block_size)
    pool = KVPool(model.config, allocator.num_blocks, block_size, device="cpu", dtype=model.dtype)
    pool.k.fill_(float("nan"))
    pool.v.fill_(float("nan"))
    graph, cache, sizes = Graph(buffers), GraphCache(pool), {}
    texts, tables = [list(prompt) for prompt in prompts], [BlockTable(allocator) for _ in prompts]
    wanted = [len(prompt) + n for prompt, n in zip(prompts, max_tokens)]
    while running := [i for i, table in enumerate(tables) if table.num_tokens < wanted[i] - 1]:
        slots = [tables[i].append_slots(1)[0] for i in running]
        lengths = [tables[i].num_tokens for i in running]
        width = max(len(tables[i].block_ids) for i in running)
        rows = [tables[i].block_ids + [-1] * (width - len(tables[i].block_ids)) for i in running]
        size = buffers.fill(
            token_ids=torch.tensor([texts[i][length - 1] for i, length in zip(running, lengths)]),
            positions=torch.tensor(lengths) - 1,
            slots=torch.tensor(slots),
            seq_lens=torch.tensor(lengths),
            block_tables=torch.tensor(rows, dtype=torch.int32),
        )
        if size is None:
            raise CourseError(f"{len(running)} sequences run, and no graph is as large. Make GraphBuffers larger.")
        sizes[size] = sizes.get(size, 0) + 1
        cache.begin(graph.memory, size)
        logits = model(graph.memory.token_ids[:size], graph.memory.positions[:size], cache)
        for i, length, row in zip(running, lengths, logits):
            if length == len(texts[i]):
                texts[i].append(int(row.argmax()))
    return [text[len(prompt) :] for text, prompt in zip(texts, prompts)], sizes
