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

from course_lib.models.config import ModelConfig
from course_lib.models.transformer import Transformer

from .data import BOS_ID, CONTEXT, EOS_ID, VOCAB_SIZE, Batch, make_pool, make_tokenizer
from .muon import Muon

TALE = ModelConfig(
    vocab_size=VOCAB_SIZE,
    hidden_size=256,
    intermediate_size=640,
    num_layers=4,
    num_heads=4,
    num_kv_heads=2,
    head_dim=64,
    context=CONTEXT,
    tie_embeddings=True,
    bos_token_id=BOS_ID,
    eos_token_ids=(EOS_ID,),
)
DRAFT = ModelConfig(
    vocab_size=VOCAB_SIZE,
    hidden_size=128,
    intermediate_size=320,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=32,
    context=CONTEXT,
    tie_embeddings=True,
    bos_token_id=BOS_ID,
    eos_token_ids=(EOS_ID,),
)
# The first `short_pools` hold tales of one chapter only; after them every `sheets_every`-th is partly quiz sheets.
# `decay`: the last share of the run, in which the learning rate falls to nothing.
RECIPE = {
    "tale": dict(
        pools=2600,
        short_pools=60,
        sheets_every=10,
        shown=True,
        tokens_a_batch=32_768,
        decay=0.7,
        muon_lr=0.015,
        adam_lr=0.003,
        seed=1,
    ),
    "tale-draft": dict(
        pools=300,
        short_pools=20,
        sheets_every=0,
        shown=False,
        tokens_a_batch=32_768,
        decay=0.7,
        muon_lr=0.015,
        adam_lr=0.003,
        seed=2,
    ),
}
SHOWN_WEIGHT, CHOICE_WEIGHT = 0.3, 3.0
SECONDS_A_CHECKPOINT = 20
LOG_EVERY = 20


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
            queries = q.view(self.rows, self.length, *q.shape[1:])[:, :, head]
            keys = k.view(self.rows, self.length, *k.shape[1:])[:, :, head * k.shape[1] // q.shape[1]]
            scores = (queries @ keys.transpose(1, 2))[row, source].float() * q.shape[-1] ** -0.5
            behind = torch.arange(self.length, device=q.device) > source[:, None]
            loss = F.cross_entropy(scores.masked_fill(behind, -1e30), place, reduction="sum")
            self.losses.append(loss / max(1, len(pairs)))
        return super().attend(layer, q, k, v)


def logits_of(model, inputs, cache=None):
    """Logits of a batch: inputs int64 [rows, length] -> [rows * length, vocab_size]."""
    rows, length = inputs.shape
    positions = torch.arange(length, device=inputs.device).repeat(rows)
    return model(inputs.flatten(), positions, cache or EqualRows(rows, length))


def loss_of(model, batch, teacher=None, shown=False):
    """The loss to descend, and the plain cross-entropy in nats a token.

    With a teacher, the first includes the distance from its probabilities; shown, that of three heads from where
    they should look, and what is asked that was not told.
    """
    cache = Shown(batch) if shown else EqualRows(*batch.inputs.shape)
    with torch.autocast(batch.inputs.device.type, torch.bfloat16):
        logits = logits_of(model, batch.inputs, cache)
        wanted = logits_of(teacher, batch.inputs).softmax(-1).detach() if teacher else None
    weights = batch.weights.flatten()
    loss = F.cross_entropy(logits, batch.targets.flatten(), reduction="none")
    counted = weights >= 1  # neither padding nor the text of quiz sheets
    plain = (loss * counted).sum() / counted.sum()
    if teacher:
        loss = 0.3 * loss + F.cross_entropy(logits, wanted, reduction="none")
    loss = (loss * weights).sum() / weights.sum()
    if shown:
        loss = loss + SHOWN_WEIGHT * sum(cache.losses) + CHOICE_WEIGHT * outside(logits, batch)
    return loss, plain.detach()


def outside(logits, batch):
    """How much probability goes to tokens that may not come, inside questions: mean of -log of what is left, in nats.

    logits: [rows * length, vocab_size]. See data.choices.
    """
    row, place, token = batch.may_come.unbind(1)
    at = row * batch.inputs.shape[1] + place
    chances = (logits[at, token].float() - logits.float().logsumexp(-1)[at]).exp()
    allowed = chances.new_zeros(len(logits)).index_add(0, at, chances)
    due = chances.new_zeros(len(logits)).index_add(0, at, torch.ones_like(chances)) > 0
    return -(allowed.clamp_min(1e-9).log() * due).sum() / due.sum().clamp_min(1)


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
        self.parts = [
            Muon(inside, lr=muon_lr, weight_decay=0.01),
            torch.optim.AdamW(others, lr=adam_lr, betas=(0.9, 0.98), weight_decay=0.0),
        ]
        self.peaks, self.decay = [muon_lr, adam_lr], decay

    def step(self, progress):
        """progress: share of the run done, 0 to 1. Warm-up, flat, then down to nothing."""
        scale = min(1.0, progress / 0.01 + 0.02, (1 - progress) / self.decay + 0.01)
        for part, peak in zip(self.parts, self.peaks):
            for group in part.param_groups:
                group["lr"] = peak * scale
            part.step()
            part.zero_grad(set_to_none=True)


def train(name, config, tokenizer, folder, device, workers, *, recipe, teacher=None, log=print):
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
    loss_fn = partial(loss_of, model, teacher=teacher, shown=recipe["shown"])
    start = saved_at = time.time() - seconds
    for index, batches in pools(tokenizer, done, recipe, workers):
        losses = 0.0
        for number, batch in enumerate(batches):
            loss, plain = loss_fn(batch.to(device))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step((index + number / len(batches)) / recipe["pools"])
            losses = losses + plain  # stays on the device: reading it here would wait for the step
            tokens += batch.num_tokens
        curve.append([tokens, float(losses) / len(batches)])
        seconds, last = time.time() - start, index + 1 == recipe["pools"]
        if (index + 1) % LOG_EVERY == 0 or last:
            log(
                f"{name} pool {index + 1}/{recipe['pools']}  {tokens / 1e6:.2f}M tokens  loss {curve[-1][1]:.4f}  "
                f"{tokens / seconds:,.0f} tokens/s  {seconds:.0f} s"
            )
        if last or time.time() - saved_at > SECONDS_A_CHECKPOINT:
            saved_at = time.time()
            save_atomically(
                state_file,
                dict(
                    model=model.state_dict(),
                    optimiser=[p.state_dict() for p in optimiser.parts],
                    done=index + 1,
                    tokens=tokens,
                    curve=curve,
                    seconds=seconds,
                ),
            )
    return model.eval().requires_grad_(False), dict(tokens=tokens, seconds=seconds, curve=curve)


def pools(tokenizer, done, recipe, workers):
    """(index, batches) of every pool still to do, made by other processes a little ahead."""
    text = tokenizer.to_str()
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as executor:
        waiting = []
        for index in range(done, recipe["pools"]):
            after, every = index - recipe["short_pools"], recipe["sheets_every"]
            what = dict(
                chapters=1 if after < 0 else None,
                tokens_a_batch=recipe["tokens_a_batch"],
                sheets=bool(every) and after >= 0 and after % every == 0,
            )
            waiting.append((index, executor.submit(_pool_in_worker, text, index, what)))
            if len(waiting) > 2 * workers:
                first, future = waiting.pop(0)
                yield first, _received(future)
        for index, future in waiting:
            yield index, _received(future)


_TOKENIZERS = {}


def _pool_in_worker(text, index, what):
    torch.set_num_threads(1)
    if text not in _TOKENIZERS:
        from tokenizers import Tokenizer

        _TOKENIZERS[text] = Tokenizer.from_str(text)
    return [
        [tensor.numpy() for tensor in vars(batch).values()] for batch in make_pool(_TOKENIZERS[text], index, **what)
    ]


def _received(future):
    """Batches that came as arrays: a tensor sent between processes would hold a file open until it is read."""
    return [Batch(*map(torch.from_numpy, arrays)) for arrays in future.result()]


def save_atomically(path, state):
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def main(
    out: Path = typer.Option(Path(__file__).parents[1], help="Where the folders tale and tale_draft go."),
    work: Path = typer.Option(Path("training-run"), help="Checkpoints and logs."),
    fresh: bool = typer.Option(False, help="Forget the checkpoints and start over."),
    workers: int = typer.Option(max(1, (os.cpu_count() or 2) - 1), help="Processes that write tales."),
):
    """Makes tokenizer, tale and tale-draft, measures them and writes them as model folders."""
    from .evaluate import evaluate
    from .export import export

    if fresh and work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    where = torch.cuda.get_device_name() if device == "cuda" else device
    torch.backends.cuda.enable_cudnn_sdp(False)  # it makes a plan for every new shape, which takes longer than the step
    tokenizer_file = work / "tokenizer.json"
    if not tokenizer_file.exists():
        make_tokenizer().save(str(tokenizer_file))
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    log = partial(print, flush=True)
    common = dict(tokenizer=tokenizer, folder=work, device=device, workers=workers, log=log)
    tale, tale_run = train("tale", TALE, recipe=RECIPE["tale"], **common)
    draft, draft_run = train("tale-draft", DRAFT, recipe=RECIPE["tale-draft"], teacher=tale, **common)
    for name, folder, model, run, target in (
        ("tale", "tale", tale, tale_run, None),
        ("tale-draft", "tale_draft", draft, draft_run, tale),
    ):
        model.to(torch.bfloat16).float()  # what the file will hold is what gets measured
        results = evaluate(model, tokenizer, target=target)
        log(name, json.dumps(results, indent=2))
        export(name, model, tokenizer, out / folder, run, RECIPE[name], results, where)


if __name__ == "__main__":
    typer.run(main)
