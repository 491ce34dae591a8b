# %% [markdown]
# # Exercises 13 · Making it fast
#
# Five pieces of a fast decode step: how much of the bandwidth it uses, the batch sizes of its graphs, two operations in
# one kernel, random numbers without a generator, and the tiles of a kernel for a given chip. No GPU is needed. The kernel
# has three rungs, as in lessons 07 and 08: plain torch first, then a Triton kernel, interpreted, then compiled.
# `hint("13.bandwidth_use")` goes one step further each time you call it. A dict or tensor that your function returns is a
# new one in every call.

# %% [markdown]
# {{colab}}

# %%
import torch

from course_lib import SamplingParams, check, hint, load_model, progress, setup
from course_lib.decoding.counter_rng import mix
from course_lib.models import ModelConfig
from course_lib.practice.play import here, norm_inputs, write_in_graphs

machine = setup(quiet=True)  # before Triton: it says whether kernels are compiled or interpreted

try:
    import triton
    import triton.language as tl
except ImportError:  # not on this system: kernels can be written down, and not run
    from course_lib.practice.play import tl, triton

# %% [markdown]
# ## 13.bandwidth_use · What a step reads, and how fast
#
# A decode step reads weights and cache, and it takes at least as long as these reads. Count the bytes that one step
# must read, and say which share of the bandwidth it reached.
#
# - `config` is a `ModelConfig`. You need `num_parameters`, `vocab_size`, `hidden_size`, `num_layers`, `num_kv_heads`,
#   `head_dim` and `tie_embeddings`.
# - `seq_lens` is a list of one or more whole numbers: the tokens that each sequence attends to, its newest included.
# - `itemsize` is the bytes of a weight, `kv_itemsize` the bytes of a number in the cache; both are whole numbers.
# - `seconds` is what the step took, and `bytes_per_s` what the machine can read in a second.
#
# Return a dict of three numbers:
#
# - `weights`: the bytes of weights, a whole number. Every weight is read once for the whole batch, except for the
#   embedding. If `tie_embeddings` is False, the embedding is a table of its own, `vocab_size` rows of `hidden_size`
#   numbers: one row is read for each sequence, and nothing else of it. If `tie_embeddings` is True, its matrix is that of
#   the head, too: it is read as a whole, and its rows are not counted again. `config.num_parameters` counts all weights,
#   a tied embedding once.
# - `cache`: the bytes of keys and values, a whole number: in every layer, for each KV head, `head_dim` numbers of a key
#   and as many of a value, for every token of every sequence.
# - `share`: the bytes that were read in a second, `weights` and `cache` together, divided by `bytes_per_s`. It is not
#   rounded, and a share above 1 is returned as it is: it says that something was measured or counted wrongly.
#
# `seq_lens` is not changed. An example: a model with 1,000 weights in all, of which the embedding's own table has 50
# rows of 4 numbers. For two sequences, 1,000 - 200 + 2 · 4 = 808 weights are read, with an `itemsize` of 2 these are
# 1,616 bytes.

# %% nbgrader={"grade_id": "bandwidth_use", "solution": true} course={"exercise": "13.bandwidth_use"}
def bandwidth_use(config, seq_lens, itemsize, kv_itemsize, seconds, bytes_per_s):
    """{"weights", "cache", "share"} of one decode step: bytes, bytes, and the part of the bandwidth that it reached."""
    ### BEGIN SOLUTION
    numbers = config.num_parameters
    if not config.tie_embeddings:  # the table is looked up, a row for each sequence; the head is another matrix
        numbers += (len(seq_lens) - config.vocab_size) * config.hidden_size
    weights = numbers * itemsize
    cache = 2 * config.num_layers * config.num_kv_heads * config.head_dim * sum(seq_lens) * kv_itemsize
    return {"weights": weights, "cache": cache, "share": (weights + cache) / seconds / bytes_per_s}
    ### END SOLUTION

# %% nbgrader={"grade_id": "bandwidth_use-check", "grade": true, "points": 2}
check("13.bandwidth_use", bandwidth_use)

# %% [markdown]
# Your count for the recorded steps of the course's engine on an H200, which reads 4.3 TB/s (as in the lesson). The
# model has the shape of Qwen3 0.6B, in bfloat16, and each sequence has 843 tokens.

# %% tags=["raises-exception"]
from course_lib.recorded import recorded

QWEN3 = ModelConfig(vocab_size=151936, hidden_size=1024, intermediate_size=3072, num_layers=28, num_heads=16, num_kv_heads=8,
                    head_dim=128, tie_embeddings=True, qk_norm=True)
_, columns, rows = recorded("13").tables[1]
for step in (dict(zip(columns, row)) for row in rows):
    found = bandwidth_use(QWEN3, [843] * step["sequences"], 2, 2, step["ms"] / 1000, 4.3e12)
    print(f"{step['sequences']:>4} sequences, {step['ms']:.2f} ms: weights {found['weights'] / 1e9:.2f} GB, "
          f"cache {found['cache'] / 1e9:5.2f} GB, {100 * found['share']:.0f} % of the bandwidth")

# %% [markdown]
# ## 13.graph_buckets · Padded batch sizes
#
# A CUDA graph is captured for one batch size, and it reads and writes the same memory in each replay. So graphs are
# captured for a few sizes only, and a step of n sequences runs at the smallest of these that is at least n. The rows
# after the n-th are **padding**.
#
# `GraphBuffers(most, width)` is that memory. `__init__` makes five tensors with `most` rows; this part is given. The
# graphs read the memory of these tensors, so they stay the same objects with the same memory, and every step writes into
# them:
#
# | tensor | | of a row |
# |---|---|---|
# | `token_ids` | int64 `[most]` | the newest token of the sequence |
# | `positions` | int64 `[most]` | where this token stands in the sequence |
# | `slots` | int64 `[most]` | where its key and value are written; -1 writes nothing |
# | `seq_lens` | int64 `[most]` | how many tokens the row attends to; 0 reads nothing |
# | `block_tables` | int32 `[most, width]` | the blocks of the sequence |
#
# Write three things:
#
# - `sizes`, an attribute that `__init__` sets: a list of ints, ascending, each once: 1, 2, 4 and the multiples of 8, as
#   far as they are below `most`; and then `most` itself.
# - `size_for(n)`: the smallest size that is at least n, an int. None if n is above `most`: such a step has no graph and
#   runs eagerly. n is 1 or more.
# - `fill(token_ids, positions, slots, seq_lens, block_tables)`: the tensors of a step with n sequences, of the same
#   dtypes as the buffers, `[n]` each, and `block_tables` `[n, w]`, w being at most `width`. Row i of the step goes into
#   row i of the buffers, the block table into the first w columns (the other columns are never read, and may hold
#   anything). The rows from n up to the size become padding, whatever an earlier, larger step has left in them: slot -1,
#   length 0, and a token and a position that exist, such as 0 and 0. Return the size. If there is no graph for the step,
#   return None. The step's own tensors are not changed.
#
# With `most=6`, `sizes` is `[1, 2, 4, 6]`. A step of 3 sequences runs at 4, with one row of padding.
#
# The check plays the graph: it keeps the tensors that `__init__` made, and reports for each row which slot it
# writes and which slots it reads.

# %% nbgrader={"grade_id": "graph_buckets", "solution": true} course={"exercise": "13.graph_buckets"}
class GraphBuffers:
    """The memory that captured decode steps read: a row for each sequence, and rows of padding."""

    def __init__(self, most, width):
        """most: rows, the largest batch of a graph. width: columns of the block table."""
        self.token_ids = torch.zeros(most, dtype=torch.int64)
        self.positions = torch.zeros(most, dtype=torch.int64)
        self.slots = torch.zeros(most, dtype=torch.int64)
        self.seq_lens = torch.zeros(most, dtype=torch.int64)
        self.block_tables = torch.zeros((most, width), dtype=torch.int32)
        ### BEGIN SOLUTION
        self.sizes = [size for size in (1, 2, 4, *range(8, most, 8)) if size < most] + [most]
        ### END SOLUTION

    def size_for(self, n):
        """The smallest size that is at least n; None where n is above all sizes."""
        ### BEGIN SOLUTION
        return next((size for size in self.sizes if size >= n), None)
        ### END SOLUTION

    def fill(self, token_ids, positions, slots, seq_lens, block_tables):
        """Writes a step into the first rows, and padding after it. Returns the size at which it runs, or None."""
        ### BEGIN SOLUTION
        n = len(token_ids)
        size = self.size_for(n)
        if size is None:
            return None
        self.token_ids[:n], self.positions[:n] = token_ids, positions
        self.slots[:n], self.seq_lens[:n] = slots, seq_lens
        self.block_tables[:n, : block_tables.shape[1]] = block_tables
        self.token_ids[n:size] = self.positions[n:size] = 0
        self.slots[n:size], self.seq_lens[n:size] = -1, 0  # writes nothing, reads nothing
        return size
        ### END SOLUTION

# %% nbgrader={"grade_id": "graph_buckets-check", "grade": true, "points": 3}
check("13.graph_buckets", GraphBuffers)

# %% [markdown]
# Your buffers under the bundled model. `write_in_graphs` runs each step on the first rows of them, and a block that
# belongs to no sequence holds nan. Each sequence must get the tokens that it gets alone.

# %% tags=["raises-exception"]
from course_lib.decoding import generate_cached

model, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
prompts = [tokenizer.encode(text) for text in ("Once upon a time,", "In a windy valley lived a badger", "One evening", "Far away",
                                               "There was once a thoughtful frog named Bramble, who")]
max_tokens = [12, 5, 16, 9, 7]
written, sizes = write_in_graphs(model, prompts, max_tokens, GraphBuffers(most=6, width=16))
alone = [generate_cached(model, ids, SamplingParams(max_tokens=n, ignore_eos=True)) for ids, n in zip(prompts, max_tokens)]
print("the same tokens as alone:", written == alone)
print("steps at each size:", dict(sorted(sizes.items())))

# %% [markdown]
# ## 13.fuse_norm · Addition and RMSNorm in one kernel
#
# In every layer, twice, the output of a product is added to the residual, and the sum is normed for the next product.
# Write one function that does both: as a kernel it needs one launch, and can norm the sum without loading it again.
#
# - `x` and `residual` are `[rows, size]`, float32 or float16, both of the same dtype. Each may be a slice of a wider
#   tensor: it has its own row stride, and the numbers of a row lie side by side. There is at least one row and one
#   number, and `size` is anything.
# - `weight` is `[size]`, contiguous, of the same dtype. `eps` is a float above 0.
#
# Return a pair of tensors, `(normed, summed)`, new in every call, each `[rows, size]` in the dtype of x:
#
# - `summed` is x + residual.
# - `normed` is summed / √(mean + eps) · weight, where mean is the mean of the squares of the sum, over its own row.
#
# The computation is in float32, whatever the dtype is: the square of 300 does not fit into float16. With float16, too,
# a number of `normed` is rounded once, at the end, after it was multiplied by its weight; the sum may be rounded before
# it is normed. `x`, `residual` and `weight` are not changed.
#
#     fuse_norm(torch.tensor([[1., 4.]]), torch.tensor([[2., 0.]]), torch.tensor([1., 2.]), 0.5)
#     summed is [[3., 4.]]; the mean is (9 + 16) / 2 = 12.5, with eps 13; normed is [[0.8321, 2.2188]]
#
# As a kernel: one program a row, and a block of `triton.next_power_of_2(size)` lanes. Its arguments are a proposal.

# %% nbgrader={"grade_id": "fuse_norm", "solution": true} course={"exercise": "13.fuse_norm"}
@triton.jit
def norm_kernel(x_ptr, residual_ptr, weight_ptr, normed_ptr, summed_ptr, x_stride, residual_stride, eps, size, BLOCK: tl.constexpr):
    """One program a row. x_stride, residual_stride: from row to row; the rows of the results lie side by side."""
    ### BEGIN SOLUTION
    row, at = tl.program_id(0), tl.arange(0, BLOCK)
    inside = at < size
    x = tl.load(x_ptr + row * x_stride + at, mask=inside, other=0.0).to(tl.float32)
    total = x + tl.load(residual_ptr + row * residual_stride + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(summed_ptr + row * size + at, total.to(summed_ptr.dtype.element_ty), mask=inside)
    mean = tl.sum(total * total, 0) / size  # lanes after the end add 0
    weight = tl.load(weight_ptr + at, mask=inside, other=0.0).to(tl.float32)
    normed = total * tl.rsqrt(mean + eps) * weight
    tl.store(normed_ptr + row * size + at, normed.to(normed_ptr.dtype.element_ty), mask=inside)
    ### END SOLUTION


def fuse_norm(x, residual, weight, eps):
    """(normed, summed): summed = x + residual, normed = its RMSNorm times weight. Both new, [rows, size], as x."""
    ### BEGIN SOLUTION
    rows, size = x.shape
    normed, summed = (torch.empty((rows, size), dtype=x.dtype, device=x.device) for _ in range(2))
    norm_kernel[(rows,)](x, residual, weight, normed, summed, x.stride(0), residual.stride(0), eps, size,
                         BLOCK=triton.next_power_of_2(size))
    return normed, summed
    ### END SOLUTION

# %% nbgrader={"grade_id": "fuse_norm-check", "grade": true, "points": 3}
check("13.fuse_norm", fuse_norm)

# %% [markdown]
# What your kernel moves, in bytes, for 6 rows of 50 numbers: the two inputs are loaded and the two results stored, each
# once. (An addition followed by a norm would load the sum once more.)

# %% tags=["raises-exception"]
from course_lib.attention import record_accesses

x, residual, weight = here(*norm_inputs(6, 50))
if machine.triton == "absent":
    print("Loads and stores can be watched where there is Triton.")
else:
    with record_accesses() as log:
        fuse_norm(x, residual, weight, 1e-5)
    if log.launches:
        print(f"a tensor has {x.nbytes:,} bytes; loaded: {log.bytes_read:,}, stored: {log.bytes_written:,}")
        print({name: f"{count:,}" for name, count in (log.read | log.written).items()})
    else:
        print("No kernel was launched: this is rung 1.")

# %% [markdown]
# ## 13.counter_rng · Chance from a counter
#
# Draw the next token of each row, so that a row's token depends on nothing but its own logits, its own seed and its own
# position. Then it is the same alone and in any batch, and the same when the step is computed again.
#
# - `logits` is `[rows, vocab_size]`, of float32 or float16, already divided by the temperature. A logit of -inf is never
#   drawn; every row has one that is finite.
# - `seeds` and `positions` are int64 `[rows]`. A seed is 0 or more and below 2^63, and all of its bits count. A position
#   is 0 or more and below 2^31.
#
# Return an int64 tensor `[rows]`: a token id for each row, drawn with the probabilities that `softmax` of its logits
# says. Draws of different seeds or positions have nothing to do with each other. The global random generators of torch
# and Python, which `torch.rand` and `random.random` use, are neither used nor seeded, nothing is kept between calls, and
# the arguments are not changed.
#
# Random numbers without a state are made by scrambling a **counter**, here the triple (seed, position, token id).
# `mix(x)` scrambles: it takes an int64 tensor of 32-bit words (0 to 2^32 - 1) and returns such words, which look like
# chance. `mix(a ^ b)` puts two words together, where one of them is scrambled already. `mix(0)` is 0.
#
# How a token is drawn is up to you. What GPU samplers do is a **race**: with u uniform between 0 and 1, not 0 and not 1,
# -log(u) is a waiting time, and the token with the largest probability / waiting time is a draw from the probabilities.
# The check draws about 80,000 tokens, up to 2,000 rows in one call, and counts.

# %% nbgrader={"grade_id": "counter_rng", "solution": true} course={"exercise": "13.counter_rng"}
def draw(logits, seeds, positions):
    """A token id for each row, int64 [rows], by its own logits, seed and position. logits: [rows, vocab_size]."""
    ### BEGIN SOLUTION
    key = mix(mix(mix((seeds & 0xFFFFFFFF) ^ 0x9E3779B9) ^ (seeds >> 32)) ^ positions)  # a word for each row
    tokens = torch.arange(1, logits.shape[1] + 1, device=logits.device)
    bits = mix(key[:, None] ^ mix(tokens))  # a word for each token of each row
    share = (bits.double() + 0.5) / 2**32  # between 0 and 1, never 0 or 1
    return (logits.double().softmax(-1) / -share.log()).argmax(-1)
    ### END SOLUTION

# %% nbgrader={"grade_id": "counter_rng-check", "grade": true, "points": 3}
check("13.counter_rng", draw)

# %% [markdown]
# Your draws under the bundled model: three sequences with seeds of their own, together in one batch, and each alone.

# %% tags=["raises-exception"]
from course_lib.kvcache import Recompute

opening = tokenizer.encode("Once upon a time, in a quiet harbour, there lived")


def write_together(seeds, steps=12, temperature=0.8):
    """A text for each seed; the tokens of a step are drawn in one call."""
    texts = [list(opening) for _ in seeds]
    for _ in range(steps):
        logits = torch.stack([model(torch.tensor(ids), torch.arange(len(ids)), Recompute())[-1] for ids in texts])
        positions = torch.tensor([len(ids) for ids in texts])
        for ids, token in zip(texts, draw(logits / temperature, torch.tensor(seeds), positions).tolist()):
            ids.append(token)
    return [tokenizer.decode(ids) for ids in texts]


together = write_together([1, 2, 3])
print("the same texts alone:", together == [write_together([seed])[0] for seed in (1, 2, 3)])
print(*together, sep="\n")

# %% [markdown]
# ## 13.pick_tiles · Tiles for a chip and its work
#
# An attention kernel takes `block_m` queries and `block_n` keys at a time. Choose both, from what the chip has and what
# there is to do. Each is one of 16, 32, 64 and 128.
#
# - **Shared memory.** A program holds a tile of Q, with `block_m` rows, and for each of `stages` stages a tile of K and a
#   tile of V, with `block_n` rows each. A row of a tile has `head_dim` numbers, rounded up to a power of two, of
#   `itemsize` bytes. All of it together may take `shared_memory` bytes, and not one more.
# - **Multiprocessors.** `query_lens` is a list: the number of new tokens of each sequence, 1 or more each. For every one
#   of `num_heads` heads, each sequence has a program for every `block_m` of its queries or part of them. All
#   multiprocessors are **busy** if there are at least as many programs as `sms`, the number of multiprocessors.
#
# Return a pair of ints, `(block_m, block_n)`. Of the pairs that fit and keep all busy, take the one with the largest
# `block_m`, and of these the one with the largest `block_n`: each program reads all keys and values, so few programs read
# little. If pairs fit, and none of them keeps all busy, `block_m` is 16, and `block_n` the largest that fits. If no pair
# fits, return None. All numbers are whole, and `query_lens` is not changed.
#
# An example: head_dim 64, 2 bytes, 2 stages. (128, 64) takes (128 + 2 · 2 · 64) · 64 · 2 = 49,152 bytes. One sequence of
# 129 tokens with 4 heads has 2 · 4 = 8 programs with a `block_m` of 128, and 3 · 4 = 12 with 64.

# %% nbgrader={"grade_id": "pick_tiles", "solution": true} course={"exercise": "13.pick_tiles"}
def pick_tiles(head_dim, itemsize, shared_memory, sms, query_lens, num_heads, stages=2):
    """(block_m, block_n) for an attention kernel, or None where no tiles fit. shared_memory: bytes of a program."""
    ### BEGIN SOLUTION
    row = itemsize * (1 << (head_dim - 1).bit_length())  # bytes; tiles have powers of two as sides
    sides = (16, 32, 64, 128)
    fit = [(m, n) for m in sides for n in sides if (m + 2 * stages * n) * row <= shared_memory]
    busy = [(m, n) for m, n in fit if num_heads * sum(-(-length // m) for length in query_lens) >= sms]
    smallest = [(m, n) for m, n in fit if m == 16]
    return max(busy or smallest, default=None)  # of pairs, the largest m, and of these the largest n
    ### END SOLUTION

# %% nbgrader={"grade_id": "pick_tiles-check", "grade": true, "points": 2}
check("13.pick_tiles", pick_tiles)

# %% [markdown]
# Your choice for four chips, with heads of 128 numbers in 16 bits. On which chip do 300 queries keep all multiprocessors
# busy with large tiles? The course's own table is `FLASH` in `course_lib/attention/tiles.py`. Only its tiles for the H100
# and H200 ran on their chip.

# %% tags=["raises-exception"]
from course_lib.attention.tiles import SHARED_MEMORY

chips = {"T4": ("sm_75", 40), "A100": ("sm_80", 108), "L4": ("sm_89", 58), "H100": ("sm_90", 132)}
work = {"4 x 2,048 queries, 32 heads": ([2048] * 4, 32), "300 queries, 32 heads": ([300], 32), "300 queries, 8 heads": ([300], 8),
        "1 query, 8 heads": ([1], 8)}
for name, (chip, sms) in chips.items():
    picked = [pick_tiles(128, 2, SHARED_MEMORY[chip], sms, lens, heads) for lens, heads in work.values()]
    print(f"{name:>5}, {SHARED_MEMORY[chip]:>7,} bytes, {sms:>3} multiprocessors: ", *(f"{what}: {tiles}" for what, tiles in zip(work, picked)),
          sep="\n        ")

# %% [markdown]
# What you have passed so far:

# %% tags=["nbval-ignore-output"]
progress()

# %% [markdown]
# The next lesson is [14 · Smaller caches](../notebooks/14_smaller_caches.ipynb).
