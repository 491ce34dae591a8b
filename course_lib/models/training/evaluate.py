"""Measures what the bundled models can do, on tales that they were not trained on.

    python -m course_lib.models.training.evaluate [tale | tale-draft | a folder]

Three measures: how often the model answers a question about a fact that is hundreds of tokens back, how often it writes
a tale that follows the grammar and is no copy, and how often the draft's top choice is that of the target.
"""

import hashlib
import json
import multiprocessing
from bisect import bisect_right
from concurrent.futures import ProcessPoolExecutor

import torch
import torch.nn.functional as F
import typer

from course_lib.decoding import SamplingParams, sample

from .data import BOS_ID, EOS_ID, HELD_OUT, TALES_A_POOL, answer_tokens, ends_of
from .losses import logits_of
from .recipe import RECIPE
from .tales import check_tale, make_tale

DISTANCES = ((0, 512), (512, 1536))  # tokens between the start of the fact and the answer
HELD_OUT_TALES = 400
LONG_TALES = 150
STORIES = 1000


@torch.inference_mode()
def evaluate(model, tokenizer, target=None, stories=STORIES):
    """The results as a dictionary of counts and shares; see the docstring of this module.

    model: a Transformer in float32. tokenizer: a `tokenizers.Tokenizer`. target: the model to compare a draft with, or
    None.
    """
    results = {"recall": recall(model, tokenizer)}
    if target is None:
        results["stories"] = well_formed(model, tokenizer, stories)
    else:
        results["agreement"] = agreement(model, target, tokenizer)
    return results


def held_out(count, chapters=None, first=HELD_OUT):
    return [make_tale(seed, chapters=chapters) for seed in range(first, first + count)]


def recall(model, tokenizer, tales=None):
    """The share of questions for which all answer tokens, and the token that ends the answer, are the top choice.

    Each token is predicted after the true answer up to it, so a right answer here is what greedy decoding gives.
    """
    right, asked = [0] * len(DISTANCES), [0] * len(DISTANCES)
    if tales is None:
        tales = [*held_out(HELD_OUT_TALES), *held_out(LONG_TALES, 8, HELD_OUT + 100_000)]
    for tale in tales:
        encoding = tokenizer.encode(tale.text)
        top = top_choices(model, encoding.ids)
        ends = ends_of(encoding)
        for question in tale.questions:
            tokens = answer_tokens(ends, question)
            fact = bisect_right(ends, question.fact_start)
            distance = tokens[0] - fact
            for row, (above, up_to) in enumerate(DISTANCES):
                if above < distance <= up_to:
                    asked[row] += 1
                    right[row] += all(top[i - 1] == encoding.ids[i] for i in tokens)
    return {
        f"up to {up_to} tokens back": dict(right=r, asked=a, share=round(r / max(a, 1), 4))
        for (_, up_to), r, a in zip(DISTANCES, right, asked)
    }


def top_choices(model, ids):
    inputs = torch.tensor([ids], device=model.device)
    return logits_of(model, inputs).argmax(-1).tolist()


def agreement(draft, target, tokenizer):
    """The share of tokens of held-out tales at which both models have the same top choice."""
    same = total = 0
    for tale in held_out(200):
        ids = tokenizer.encode(tale.text).ids
        ours, theirs = top_choices(draft, ids), top_choices(target, ids)
        same += sum(a == b for a, b in zip(ours, theirs))
        total += len(ids)
    return dict(same=same, tokens=total, share=round(same / total, 4))


def well_formed(model, tokenizer, count, temperature=0.8, seed=0):
    """Of stories that are generated from the start token alone: how many follow the grammar, how many are copies."""
    training = fingerprints()
    good, copies, problems, lengths = 0, 0, [], []
    for ids in tell(model, count, temperature, seed):
        text = tokenizer.decode(ids)
        verdict = check_tale(text)
        copied = fingerprint(text) in training
        good += verdict.ok and not copied
        copies += copied
        lengths.append(len(ids))
        if not verdict.ok:
            problems.append(verdict.problem)
    return dict(
        temperature=temperature,
        told=count,
        well_formed_and_new=good,
        copies=copies,
        share=round(good / count, 4),
        longest=max(lengths),
        first_problems=problems[:8],
    )


def fingerprint(text):
    """A hash that ignores differences in white space."""
    return hashlib.blake2b(" ".join(text.split()).encode(), digest_size=8).digest()


def fingerprints():
    """The fingerprints of every tale that `tale` was trained on. All cores make the tales again, a millisecond each."""
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as executor:
        found = executor.map(_fingerprints_of_pool, range(RECIPE["tale"]["pools"]), chunksize=16)
        return set().union(*found)


def _fingerprints_of_pool(index):
    chapters = 1 if index < RECIPE["tale"]["short_pools"] else None
    return {
        fingerprint(make_tale(seed, chapters=chapters).text)
        for seed in range(index * TALES_A_POOL, (index + 1) * TALES_A_POOL)
    }


def tell(model, count, temperature=0.8, seed=0, rows=100):
    """Yields the token ids of `count` stories. `rows` of them are generated at a time, all at the same position."""
    generator = torch.Generator(model.device).manual_seed(seed)
    params = SamplingParams(temperature=temperature)
    for first in range(0, count, rows):
        n = min(rows, count - first)
        cache = InStep(model.config, n, model)
        told, alive = [[] for _ in range(n)], torch.ones(n, dtype=torch.bool)
        running = torch.arange(n)
        tokens = torch.full((n,), BOS_ID, device=model.device)
        logits = torch.zeros(n, model.config.vocab_size, device=model.device)  # ended rows: their last
        for position in range(model.config.context - 1):
            cache.position = position
            logits[running] = model(tokens[running], torch.full_like(tokens[running], position), cache)
            tokens = sample(logits, params, generator)
            for row, token in enumerate(tokens.tolist()):
                if alive[row] and token != EOS_ID:
                    told[row].append(token)
                else:
                    alive[row] = False
            if not alive.any():
                break
            if alive.sum() <= 0.75 * len(running):  # to leave rows out copies the cache
                cache.keep(alive[running])
                running = running[alive[running]]
        yield from told


class InStep:
    """The cache of `tell`: all rows have the same length. k, v: [layers, rows, kv_heads, context, head_dim]."""

    def __init__(self, config, rows, model):
        shape = (config.num_layers, rows, config.num_kv_heads, config.context, config.head_dim)
        self.k = torch.zeros(shape, device=model.device, dtype=model.dtype)
        self.v = torch.zeros_like(self.k)
        self.position = 0

    def keep(self, rows):
        """Goes on with some of its rows. rows: bool [rows]."""
        self.k, self.v = self.k[:, rows], self.v[:, rows]

    def attend(self, layer, q, k, v):
        self.k[layer, :, :, self.position], self.v[layer, :, :, self.position] = k, v
        keys, values = self.k[layer, :, :, : self.position + 1], self.v[layer, :, :, : self.position + 1]
        rows, heads, size = q.shape
        grouped = q.view(rows, keys.shape[1], -1, size)  # the query heads that share a KV head are rows of one product
        return F.scaled_dot_product_attention(grouped, keys, values).reshape(rows, heads, size)


def main(name: str = typer.Argument("tale"), stories: int = STORIES):
    """Prints the results of a bundled model, or of a model folder, as JSON."""
    from course_lib.models import load_model

    model, tokenizer = load_model(name)
    target = load_model("tale")[0] if name == "tale-draft" else None
    print(json.dumps(evaluate(model, tokenizer.backend, target, stories), indent=2))


if __name__ == "__main__":
    typer.run(main)
