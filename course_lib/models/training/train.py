"""Trains the two bundled models on tales that the course generates itself.

    python -m course_lib.models.training.train

One run makes the tokenizer, trains `tale`, trains `tale-draft` to agree with it, evaluates both on held-out tales and
writes two folders in Hugging Face format. It uses a GPU where there is one. A run that was stopped continues from its
last checkpoint; --fresh starts over.
"""

import json
import math
import os
import shutil
import time
from functools import partial
from pathlib import Path

import torch
import typer

from course_lib.models.transformer import Transformer

from .data import make_tokenizer
from .losses import loss_of
from .muon import Muon
from .pools import pools
from .recipe import DRAFT, RECIPE, TALE

SECONDS_A_CHECKPOINT = 20
LOG_EVERY = 20


def initialise(model, seed):
    """Draws all matrices anew, with smaller values for those that write to the residual stream."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if weight.ndim == 2:
            into_residual = name.endswith(("o_proj.weight", "down_proj.weight"))
            std = 0.02 if "embed" in name else weight.shape[1] ** -0.5
            std /= math.sqrt(2 * model.config.num_layers) if into_residual else 1
            weight.data = torch.randn(weight.shape, generator=generator) * std


class Optimiser:
    """Muon for the matrices of the layers, AdamW for the embedding and the norms, with one learning-rate schedule."""

    def __init__(self, model, muon_lr, adam_lr, decay):
        inside = [w for n, w in model.named_parameters() if w.ndim == 2 and "embed" not in n]
        others = [w for n, w in model.named_parameters() if w.ndim != 2 or "embed" in n]
        self.parts = [
            Muon(inside, lr=muon_lr, weight_decay=0.01),
            torch.optim.AdamW(others, lr=adam_lr, betas=(0.9, 0.98), weight_decay=0.0),
        ]
        self.peaks, self.decay = [muon_lr, adam_lr], decay

    def step(self, progress):
        """progress: share of the run done, 0 to 1. The learning rate rises, stays, then falls to almost 0."""
        scale = min(1.0, progress / 0.01 + 0.02, (1 - progress) / self.decay + 0.01)
        for part, peak in zip(self.parts, self.peaks):
            for group in part.param_groups:
                group["lr"] = peak * scale
            part.step()
            part.zero_grad(set_to_none=True)


def train(name, config, tokenizer, folder, device, workers, *, recipe, teacher=None, log=print):
    """Trains one model, or continues from its last checkpoint in `folder`.

    Returns the model and a report: tokens, seconds, and the curve [[tokens, loss], ...].
    teacher: a trained model whose probabilities this one must also reproduce.
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
            losses = losses + plain  # stays on the device, since reading it here would wait for the step
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
    """Makes the tokenizer, tale and tale-draft, evaluates them and writes them as model folders."""
    from .evaluate import evaluate
    from .export import export

    if fresh and work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    where = torch.cuda.get_device_name() if device == "cuda" else device
    torch.backends.cuda.enable_cudnn_sdp(False)  # planning for each new shape takes it longer than the step
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
        model.to(torch.bfloat16).float()  # evaluated with the weights as the file will hold them
        results = evaluate(model, tokenizer, target=target)
        log(name, json.dumps(results, indent=2))
        export(name, model, tokenizer, out / folder, run, RECIPE[name], results, where)


if __name__ == "__main__":
    typer.run(main)
