"""Writes a trained model as a folder in Hugging Face format, with a model card that says how it was made."""

import json
import textwrap

import torch
from safetensors.torch import save_file

from .data import ANSWER_WEIGHT, BOS, CONTEXT, EOS, HELD_OUT, TALES_A_POOL, TOPIC_WEIGHT, TURN_WEIGHT

COMMAND = "python -m course_lib.models.training.train"


def export(name, model, tokenizer, folder, run, recipe, results, device, remark=""):
    """Writes to `folder`: weights in bfloat16, configuration, tokenizer, loss curve, model card.

    remark: added to the card, for a run that was more than the command.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: value for key, value in model.state_dict().items() if key != "lm_head.weight"}  # tied: stored once
    weights = {key: value.detach().cpu().to(torch.bfloat16).contiguous() for key, value in tensors.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # so that it is readable in a wheel, with any umask
    c = model.config
    _write_json(
        folder / "config.json",
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": c.vocab_size,
            "hidden_size": c.hidden_size,
            "intermediate_size": c.intermediate_size,
            "num_hidden_layers": c.num_layers,
            "num_attention_heads": c.num_heads,
            "num_key_value_heads": c.num_kv_heads,
            "head_dim": c.head_dim,
            "max_position_embeddings": c.context,
            "rms_norm_eps": c.rms_norm_eps,
            "rope_theta": c.rope_theta,
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": True,
            "bos_token_id": c.bos_token_id,
            "eos_token_id": c.eos_token_ids[0],
            "torch_dtype": "bfloat16",
        },
    )
    _write_json(folder / "generation_config.json", {"bos_token_id": c.bos_token_id, "eos_token_id": c.eos_token_ids[0]})
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": BOS,
            "eos_token": EOS,
            "model_max_length": CONTEXT,
            "clean_up_tokenization_spaces": False,
        },
    )
    _write_json(
        folder / "training.json", {"recipe": recipe, "device": device, "remark": remark, **run, "results": results}
    )
    _plot(name, run["curve"], folder / "loss.png")
    (folder / "README.md").write_text(_card(name, c, run, recipe, results, device, remark), encoding="utf-8")


def _teaching(recipe):
    text = (
        f"Answers weigh {ANSWER_WEIGHT:.0f} times an ordinary token, names and things told before "
        f"{TOPIC_WEIGHT:.0f} times, questions and the beginnings of paragraphs {TURN_WEIGHT:.0f} times. "
    )
    if recipe["shown"]:
        text += (
            "Three attention heads are shown where to look (`training/lookups.py`). After the pools of one chapter, "
            f"every {recipe['sheets_every']}th is partly quiz sheets, facts and questions without a tale. "
        )
    return text


def _fill(text):
    return textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False)


def _write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _plot(name, curve, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.8), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.plot([tokens / 1e6 for tokens, _ in curve], [loss for _, loss in curve], color="#0072B2")
    axes.set(xlabel="training tokens, millions", ylabel="loss, nats a token", title=f"{name}: training loss")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    figure.savefig(path)


def _card(name, config, run, recipe, results, device, remark):
    rows = [
        f"| Questions right, greedy, fact {where} | {r['right']} of {r['asked']} | {r['share']:.1%} |"
        for where, r in results["recall"].items()
    ]
    if "stories" in results:
        s = results["stories"]
        rows.append(
            f"| Stories at temperature {s['temperature']} that follow the grammar and are no copy | "
            f"{s['well_formed_and_new']} of {s['told']} | {s['share']:.1%} |"
        )
    if "agreement" in results:
        a = results["agreement"]
        rows.append(
            f"| Tokens of held-out tales with the same top choice as `tale` | {a['same']} of {a['tokens']} | "
            f"{a['share']:.1%} |"
        )
    where = "the CPU" if device == "cpu" else f"one {device}"
    if "agreement" in results:
        about = (
            "that tells short tales, quickly, and mostly chooses the token that its big sister `tale` would choose. It "
            "forgets most facts. It is the draft model of speculative decoding"
        )
        how = "this one from tales and from what `tale` thinks of each token"
    else:
        about = "that tells short tales and remembers what it told"
        how = "this one from tales"
    what = (
        f"A language model of {config.num_parameters / 1e6:.1f} million parameters {about}. It belongs to the course "
        "*LLM inference, page by page*, was trained by it from text that it writes itself, and serves to show how "
        "inference works. It knows nothing else, in English only, and should be used for nothing else."
    )
    shape = (
        f"Architecture: Llama. {config.num_layers} layers, hidden size {config.hidden_size}, {config.num_heads} query "
        f"heads over {config.num_kv_heads} key/value heads of {config.head_dim}, feed-forward "
        f"{config.intermediate_size}, tied embeddings, byte-pair vocabulary of {config.vocab_size}, context "
        f"{config.context}. Weights are stored in bfloat16."
    )
    made = (
        f"The command makes both bundled models, {how}. Tales come from `training/tales.py`, each from its own seed: "
        f"{recipe['pools']} pools of {TALES_A_POOL} tales, seeds 0 to {recipe['pools'] * TALES_A_POOL - 1}, the first "
        f"{recipe['short_pools']} pools of one chapter only, the others of one to eight. Held-out tales have the seeds "
        f"from {HELD_OUT} on. {_teaching(recipe)}Weights start from seed {recipe['seed']}. Matrices are trained with "
        f"Muon (learning rate {recipe['muon_lr']}), the rest with AdamW ({recipe['adam_lr']})."
    )
    this_run = (
        f"This run: {run['tokens'] / 1e6:.1f} million tokens in {run['seconds'] / 60:.0f} minutes on {where}, final "
        f"loss {run['curve'][-1][1]:.4f} nats a token. {remark}"
    )
    return f"""# {name}

{_fill(what)}

{_fill(shape)}

## How it was made

    {COMMAND}

{_fill(made)}

{_fill(this_run)}

![Training loss over tokens](loss.png)

## What it can do

Measured on held-out tales, weights as stored, float32 arithmetic, by `python -m course_lib.models.training.evaluate
{name}`.

| what | count | share |
|---|---|---|
{chr(10).join(rows)}

Distances count tokens from the start of the sentence that tells the fact to the answer.

Licence: Apache-2.0, as the course. No other text, model or data set went into it.
"""
