"""Loads a model over several processes: each reads its own part from the files, and no process ever holds the whole.

files      model.layers.0.self_attn.q_proj.weight   [heads * head_dim, hidden]
rank 0     the first half of its rows               safetensors reads these bytes and no others
rank 1     the second half
"""

import dataclasses
import weakref
import zlib
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.machine.device import default_device, default_dtype
from course_lib.models import ModelConfig, Transformer
from course_lib.models.few_rows import with_fast_few_rows
from course_lib.models.weights import expected_shapes, find_model, read_weights
from course_lib.models.without_memory import without_memory

from .ranks import Ranks
from .shards import Shard


def load_sharded(name="tale", tensor_parallel=2, *, device=None, dtype=None):
    """As `load_model`, over several processes: (the part of rank 0, Tokenizer). It runs in an Engine and nowhere else.

    name: as for load_model; or FolderWeights or RandomWeights, and then the tokenizer is None. tensor_parallel: the
    number of processes, a divisor of the number of query heads. device: "cuda" (a GPU each) or "cpu"; default: GPUs
    where there are any.
    dtype: of the weights, as for load_model. `model.ranks` are the processes; `model.ranks.close()` ends them, and so
    does the end of this program. Raises ParameterError, ModelError, and ParallelError for a process that ends.
    """
    if isinstance(name, (FolderWeights, RandomWeights)):
        source, tokenizer, device = name, None, torch.device(device or default_device())
        dtype = dtype or default_dtype(device)
    else:
        folder, config, tokenizer, device, dtype = find_model(name, device, dtype)
        source = FolderWeights(folder, config)
    if device.type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)  # as in load_model
    Shard(source.config, 0, tensor_parallel)  # refuses what does not divide the heads, before anything is started
    ranks = Ranks(tensor_parallel, device)
    try:
        ranks.send(_load_part, source, dtype)
        with ranks.together():
            model = part_of_model(source, ranks.group, dtype)
    except BaseException:
        ranks.close(patience=0)
        raise
    model.ranks = ranks
    weakref.finalize(model, ranks.close)
    return model, tokenizer


def _load_part(me, source, dtype):
    me.model = part_of_model(source, me.group, dtype)


@dataclasses.dataclass(frozen=True)
class FolderWeights:
    """The weights in a folder in Hugging Face format. config: the ModelConfig of the whole model."""

    folder: Path
    config: ModelConfig

    def read(self, shard, device, dtype):
        """{name: the part of that parameter}."""
        return read_weights(self.folder, self.config, device, dtype, take=lambda name, kept: part(shard, name, kept))


@dataclasses.dataclass(frozen=True)
class RandomWeights:
    """Random weights of a shape, for measurements: the same numbers for any number of processes on the same kind of
    device. One parameter at a time is made whole, and cut. `whole` is the model in one process. config: its shape, a
    ModelConfig. seed: another one gives other numbers.
    """

    config: ModelConfig
    seed: int = 0

    def read(self, shard, device, dtype):
        """{name: the part of that parameter}."""
        made = {}
        for name, shape in expected_shapes(self.config).items():
            draw = torch.Generator(device).manual_seed(self.seed + zlib.crc32(name.encode()))
            whole = torch.empty(shape, device=device, dtype=dtype)
            if "norm" in name:
                whole.fill_(1.0)
            else:
                whole.normal_(std=1.0 if "embed" in name else shape[-1] ** -0.5, generator=draw)
            made[name] = part(shard, name, whole).clone()
        return made

    def whole(self, device, dtype):
        """The Transformer with all of these weights."""
        with without_memory():
            model = Transformer(self.config)
        tensors = self.read(Shard(self.config, 0, 1), torch.device(device), dtype)
        model.load_state_dict(tensors, strict=False, assign=True)
        if self.config.tie_embeddings:
            model.lm_head.weight = model.model.embed_tokens.weight
        return model.eval().requires_grad_(False)


def part(shard, name, kept):
    """The numbers of a parameter that a rank holds. kept: a tensor, or a slice that safetensors reads when indexed."""
    where = shard.pieces(name)
    if where is None:
        return kept[:] if shard.holds(name) else torch.zeros_like(kept[:])
    dimension, pieces = where
    parts = [kept[start:stop] if dimension == 0 else kept[:, start:stop] for start, stop in pieces]
    made = parts[0] if len(parts) == 1 else torch.cat(parts, dimension)
    if "embed_tokens" in name or "lm_head" in name:
        return F.pad(made, (0, 0, 0, shard.vocabulary_rows - len(made)))
    return made


def part_of_model(source, group, dtype):
    """The Transformer of one rank: smaller, and it sums and gathers over the group where that is needed.

    group: a Group. Its `config` has the rank's own heads and inner numbers. Returns it in eval mode.
    """
    shard = Shard(source.config, group.rank, group.size)
    with without_memory():
        model = Transformer(shard.local_config())
        model.model.embed_tokens = PartOfEmbedding(shard, group)
        model.lm_head = nn.Linear(source.config.hidden_size, shard.vocabulary_rows, bias=False)
    model.load_state_dict(source.read(shard, group.device, dtype), strict=False, assign=True)
    if source.config.tie_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    model = with_fast_few_rows(model.eval().requires_grad_(False))
    for layer in model.model.layers:
        for product in (layer.self_attn.o_proj, layer.mlp.down_proj):
            product.register_forward_hook(lambda _, args, out: group.all_reduce(out))
    model.lm_head.register_forward_hook(lambda _, args, out: group.gather(out)[:, : source.config.vocab_size])
    model.group = group
    return model


class PartOfEmbedding(nn.Embedding):
    """The vectors of some of the token ids. Those of the others come from the other ranks: each rank looks up its own,
    puts zeros for the others, and the sum over the ranks is all of them, exactly.
    """

    def __init__(self, shard, group):
        super().__init__(shard.vocabulary_rows, shard.config.hidden_size)
        self.group, self.ids = group, shard.token_ids

    def forward(self, token_ids):
        """As nn.Embedding.forward, on every rank alike. token_ids: int32 or int64 [num_tokens]."""
        here = (token_ids >= self.ids.start) & (token_ids < self.ids.stop)
        vectors = F.embedding(torch.where(here, token_ids - self.ids.start, 0), self.weight)
        return self.group.all_reduce(vectors.mul_(here[:, None]))
