"""Trains the two bundled models from tales that the course writes itself.

    python -m course_lib.models.training.train

One run makes the tokenizer, trains `tale`, trains `tale-draft` to agree with it, measures both on
held-out tales and writes two folders in Hugging Face format. It uses a GPU where there is one. A
run that was stopped goes on from its last checkpoint when it is started again; --fresh starts over.
"""

import json
import math
import multiprocessing
import os
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
import typer

from ..config import ModelConfig
from ..transformer import Transformer
from .data import BOS_ID, CONTEXT, EOS_ID, VOCAB_SIZE, make_pool, make_tokenizer

TALE = ModelConfig(vocab_size=VOCAB_SIZE, hidden_size=256, intermediate_size=640, num_layers=4, num_heads=4,
                   num_kv_heads=2, head_dim=64, context=CONTEXT, tie_embeddings=True,
                   bos_token_id=BOS_ID, eos_token_ids=(EOS_ID,))
DRAFT = ModelConfig(vocab_size=VOCAB_SIZE, hidden_size=128, intermediate_size=320, num_layers=2, num_heads=4,
                    num_kv_heads=2, head_dim=32, context=CONTEXT, tie_embeddings=True,
                    bos_token_id=BOS_ID, eos_token_ids=(EOS_ID,))
# In this order: tales of one chapter only, then of any length; answers weigh 4, then 16. `sheets`: the pools that
# are mostly quiz sheets. `taught_from`: from this pool on, three heads are shown where to look; `topics_from`: and
# repeated topics weigh 8. `decay`: the last share of the run, in which the learning rate falls to nothing.
RECIPE = {
    "tale": dict(short_pools=40, light_pools=60, taught_from=125, topics_from=140, sheets=(125, 137), pools=180, decay=0.2,
                 muon_lr=0.01, adam_lr=0.002, seed=1),
    "tale-draft": dict(short_pools=10, light_pools=36, taught_from=36, topics_from=36, sheets=(0, 0), pools=36, decay=0.5,
                       muon_lr=0.015, adam_lr=0.003, seed=2),
}
SHOWN_WEIGHT = 0.3
POOLS_A_CHECKPOINT = 5


class EqualRows:
    """The cache of a training step: rows of equal length, each attending to itself, nothing kept."""

    def __init__(self, rows, length):
        self.rows, self.length = rows, length

    def attend(self, layer, q, k, v):
        group = q.shape[1] // k.shape[1]
        q, k, v = (x.view(self.rows, self.length, *x.shape[1:]).transpose(1, 2) for x in (q, k, v))
        # Under autocast the rotation leaves q and k wider than v; attention then runs in v's bfloat16.
        q, k, v = q.to(v.dtype), k.to(v.dtype).repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return out.transpose(1, 2).flatten(0, 1)


class Shown(EqualRows):
    """EqualRows that also says how far three heads are from looking where they should; see lookups.py.

    losses: cross-entropy in nats of one head's attention in each of three layers, over the pairs of the batch.
    """

    def __init__(self, batch):
        super().__init__(*batch.inputs.shape)
        # layer -> (query head, pairs)
        self.heads = {1: (0, batch.to_key), 2: (2, batch.to_answer), 3: (1, batch.to_topic)}
        self.losses = []

    def attend(self, layer, q, k, v):
        if layer in self.heads:
            head, pairs = self.heads[layer]
            row, source, place = pairs.unbind(1)
            queries = q.view(self.rows, self.length, *q.shape[1:])[row, source, head].float()
            keys = k.view(self.rows, self.length, *k.shape[1:])[:, :, head * k.shape[1] // q.shape[1]].float()
            scores = torch.einsum("nd,ntd->nt", queries, keys[row]) * q.shape[-1] ** -0.5
            behind = torch.arange(self.length, device=q.device) > source[:, None]
            loss = F.cross_entropy(scores.masked_fill(behind, -1e30), place, reduction="sum")
            self.losses.append(loss / max(1, len(pairs)))
        return super().attend(layer, q, k, v)


def logits_of(model, inputs, cache=None):
    """Logits of a batch: inputs int64 [rows, length] -> [rows * length, vocab_size]."""
    rows, length = inputs.shape
    positions = torch.arange(length, device=inputs.device).repeat(rows)
    return model(inputs.flatten(), positions, cache or EqualRows(rows, length))


def loss_of(model, batch, teacher=None, taught=False):
    """The loss to descend, and the plain cross-entropy in nats a token.

    With a teacher, the first includes the distance from its probabilities; taught, that of three heads from where
    they should look.
    """
    cache = Shown(batch) if taught else EqualRows(*batch.inputs.shape)
    with torch.autocast(batch.inputs.device.type, torch.bfloat16):
        logits = logits_of(model, batch.inputs, cache)
        wanted = logits_of(teacher, batch.inputs).softmax(-1).detach() if teacher else None
    weights = batch.weights.flatten()
    loss = F.cross_entropy(logits, batch.targets.flatten(), reduction="none")
    plain = (loss * (weights > 0)).sum() / (weights > 0).sum()
    if teacher:
        loss = 0.3 * loss + F.cross_entropy(logits, wanted, reduction="none")
    loss = (loss * weights).sum() / weights.sum()
    return loss + SHOWN_WEIGHT * sum(cache.losses) if taught else loss, plain.detach()


def initialise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if weight.ndim == 2:
            into_residual = name.endswith(("o_proj.weight", "down_proj.weight"))
            std = 0.02 if "embed" in name else weight.shape[1] ** -0.5
            std /= math.sqrt(2 * model.config.num_layers) if into_residual else 1
            weight.data = torch.randn(weight.shape, generator=generator) * std


class Optimiser:
    """Muon for the matrices inside, AdamW for the embedding and the norms; one schedule for both."""

    def __init__(self, model, muon_lr, adam_lr, decay):
        inside = [w for n, w in model.named_parameters() if w.ndim == 2 and "embed" not in n]
        others = [w for n, w in model.named_parameters() if w.ndim != 2 or "embed" in n]
        self.parts = [torch.optim.Muon(inside, lr=muon_lr, weight_decay=0.01),
                      torch.optim.AdamW(others, lr=adam_lr, betas=(0.9, 0.98), weight_decay=0.0)]
        self.peaks, self.decay = [muon_lr, adam_lr], decay

    def step(self, progress):
        """progress: share of the run done, 0 to 1. Warm-up, flat, then down to nothing."""
        scale = min(1.0, progress / 0.01 + 0.02, (1 - progress) / self.decay + 0.01)
        for part, peak in zip(self.parts, self.peaks):
            for group in part.param_groups:
                group["lr"] = peak * scale
            part.step()
            part.zero_grad(set_to_none=True)


def train(name, config, tokenizer, folder, device, workers, *, recipe, teacher=None, compiled=True, log=print):
    """Trains one model, or goes on with it from its last checkpoint in `folder`.

    Returns the model, and what the run was: tokens, seconds, and the curve [[tokens, loss], ...].
    teacher: a trained model whose probabilities this one should also reproduce.
    """
    torch.manual_seed(recipe["seed"])
    model = Transformer(config)
    initialise(model, recipe["seed"])
    model.to(device)
    optimiser = Optimiser(model, recipe["muon_lr"], recipe["adam_lr"], recipe["decay"])
    state_file = folder / f"{name}.state.pt"
    done, tokens, curve, seconds = 0, 0, [], 0.0
    if state_file.exists():
        state = torch.load(state_file, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        for part, saved in zip(optimiser.parts, state["optimiser"]):
            part.load_state_dict(saved)
        done, tokens, curve, seconds = state["done"], state["tokens"], state["curve"], state["seconds"]
        log(f"{name}: going on from pool {done} of {recipe['pools']}")
    loss_fn = partial(loss_of, model, teacher=teacher)
    if compiled:
        loss_fn = torch.compile(loss_fn, dynamic=True)
    for index, batches in pools(tokenizer, done, recipe, workers):
        start, losses = time.time(), []
        for number, batch in enumerate(batches):
            loss, plain = loss_fn(batch.to(device), taught=index >= recipe["taught_from"])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step((index + number / len(batches)) / recipe["pools"])
            losses.append(float(plain))
            tokens += batch.num_tokens
        seconds += time.time() - start
        curve.append([tokens, sum(losses) / len(losses)])
        log(f"{name} pool {index + 1}/{recipe['pools']}  {tokens / 1e6:.2f}M tokens  loss {curve[-1][1]:.4f}  "
            f"{tokens / seconds:,.0f} tokens/s  {seconds:.0f} s")
        if (index + 1) % POOLS_A_CHECKPOINT == 0 or index + 1 == recipe["pools"]:
            save_atomically(state_file, dict(
                model=model.state_dict(), optimiser=[p.state_dict() for p in optimiser.parts],
                done=index + 1, tokens=tokens, curve=curve, seconds=seconds))
    return model.eval().requires_grad_(False), dict(tokens=tokens, seconds=seconds, curve=curve)


def pools(tokenizer, done, recipe, workers):
    """(index, batches) of every pool still to do, made by other processes a little ahead."""
    text = tokenizer.to_str()
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as executor:
        waiting = []
        for index in range(done, recipe["pools"]):
            chapters = 1 if index < recipe["short_pools"] else None
            what = dict(chapters=chapters, answer_weight=4.0 if index < recipe["light_pools"] else 16.0,
                        topic_weight=8.0 if index >= recipe["topics_from"] else 1.0, sheets=index in range(*recipe["sheets"]))
            waiting.append((index, executor.submit(_pool_in_worker, text, index, what)))
            if len(waiting) > 2 * workers:
                first, future = waiting.pop(0)
                yield first, future.result()
        for index, future in waiting:
            yield index, future.result()


_TOKENIZERS = {}


def _pool_in_worker(text, index, what):
    torch.set_num_threads(1)
    if text not in _TOKENIZERS:
        from tokenizers import Tokenizer
        _TOKENIZERS[text] = Tokenizer.from_str(text)
    return make_pool(_TOKENIZERS[text], index, **what)


def save_atomically(path, state):
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def main(out: Path = typer.Option(Path(__file__).parents[1], help="Where the folders tale and tale_draft go."),
         work: Path = typer.Option(Path("training-run"), help="Checkpoints and logs."),
         fresh: bool = typer.Option(False, help="Forget the checkpoints and start over."),
         workers: int = typer.Option(max(1, (os.cpu_count() or 2) - 1), help="Processes that write tales.")):
    """Makes tokenizer, tale and tale-draft, measures them and writes them as model folders."""
    from .evaluate import evaluate
    from .export import export

    if fresh and work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer_file = work / "tokenizer.json"
    if not tokenizer_file.exists():
        make_tokenizer().save(str(tokenizer_file))
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    log = partial(print, flush=True)
    common = dict(tokenizer=tokenizer, folder=work, device=device, workers=workers, log=log)
    tale, tale_run = train("tale", TALE, recipe=RECIPE["tale"], **common)
    draft, draft_run = train("tale-draft", DRAFT, recipe=RECIPE["tale-draft"], teacher=tale, **common)
    for name, folder, model, run, target in (("tale", "tale", tale, tale_run, None),
                                             ("tale-draft", "tale_draft", draft, draft_run, tale)):
        model.to(torch.bfloat16).float()  # what the file will hold is what gets measured
        results = evaluate(model, tokenizer, target=target)
        log(name, json.dumps(results, indent=2))
        export(name, model, tokenizer, out / folder, run, RECIPE[name], results, device)


if __name__ == "__main__":
    typer.run(main)
