"""What training minimises: cross-entropy, the distance from a teacher, and where three heads look; see lookups.py."""

import torch
import torch.nn.functional as F

SHOWN_WEIGHT, CHOICE_WEIGHT = 0.3, 3.0


class EqualRows:
    """The cache of a training step: rows of equal length, each attending to itself. It keeps nothing."""

    def __init__(self, rows, length):
        self.rows, self.length = rows, length

    def attend(self, layer, q, k, v):
        group = q.shape[1] // k.shape[1]
        q, k, v = (x.view(self.rows, self.length, *x.shape[1:]).transpose(1, 2) for x in (q, k, v))
        # Under autocast RoPE returns q and k in float32; attention then runs in the bfloat16 of v.
        q, k, v = q.to(v.dtype), k.to(v.dtype).repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return out.transpose(1, 2).flatten(0, 1)


class Shown(EqualRows):
    """EqualRows that also computes how far three heads are from attending where they should; see lookups.py.

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
            later = torch.arange(self.length, device=q.device) > source[:, None]
            loss = F.cross_entropy(scores.masked_fill(later, -1e30), place, reduction="sum")
            self.losses.append(loss / max(1, len(pairs)))
        return super().attend(layer, q, k, v)


def logits_of(model, inputs, cache=None):
    """The logits of a batch: inputs int64 [rows, length] -> [rows * length, vocab_size]."""
    rows, length = inputs.shape
    positions = torch.arange(length, device=inputs.device).repeat(rows)
    return model(inputs.flatten(), positions, cache or EqualRows(rows, length))


def loss_of(model, batch, teacher=None, shown=False):
    """(the loss to minimise, the plain cross-entropy in nats a token).

    With a teacher, the first includes the cross-entropy with its probabilities. With `shown`, it includes the losses of
    three heads (see Shown) and that of questions about facts that the text does not tell (see outside).
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
    """The loss for probability on tokens that are not allowed, inside questions: mean of -log(allowed share), in nats.

    logits: [rows * length, vocab_size]. See data.choices.
    """
    row, place, token = batch.may_come.unbind(1)
    at = row * batch.inputs.shape[1] + place
    chances = (logits[at, token].float() - logits.float().logsumexp(-1)[at]).exp()
    allowed = chances.new_zeros(len(logits)).index_add(0, at, chances)
    due = chances.new_zeros(len(logits)).index_add(0, at, torch.ones_like(chances)) > 0
    return -(allowed.clamp_min(1e-9).log() * due).sum() / due.sum().clamp_min(1)
