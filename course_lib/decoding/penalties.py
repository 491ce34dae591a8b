"""Penalties for tokens that were there before, and a bias for single tokens: what changes logits before a choice.

    1. logit_bias             is added to the logits of the tokens that it names
    2. repetition_penalty     divides a positive logit, and multiplies a negative one, of each token in prompt or output
    3. frequency_penalty      is taken from the logit of a token once for each time that the output holds it
    4. presence_penalty       is taken from the logit of each token that the output holds

In float32, in this order, before the temperature: as in vLLM. Source: OpenAI's API for 1, 3 and 4, CTRL (arXiv
1909.05858) for 2.
"""

import torch


def apply_penalties(logits, params, token_ids, num_prompt_tokens):
    """The logits of one sequence's next token after its penalties: float32 [vocab_size].

    logits: [vocab_size]. params: SamplingParams. token_ids: the sequence so far, of which the first
    `num_prompt_tokens` are the prompt.
    """
    logits = logits.float().clone()
    frequency = torch.tensor(params.frequency_penalty, device=logits.device)
    for token_id, bias in params.logit_bias:
        logits[token_id] += bias
    for token_id in set(token_ids):
        value = logits[token_id]
        logits[token_id] = value / params.repetition_penalty if value > 0 else value * params.repetition_penalty
    output_ids = token_ids[num_prompt_tokens:]
    for token_id in set(output_ids):
        logits[token_id] -= frequency * output_ids.count(token_id)
        logits[token_id] -= params.presence_penalty
    return logits


class PenaltyTable:
    """What the penalties of many sequences need, on the device of the logits: a row for each.

    vocab_size: of the logits. It holds 5 bytes a sequence and token, and 4 more where a sequence has a logit_bias.
    """

    def __init__(self, vocab_size, device):
        self.vocab_size, self.device = vocab_size, device
        self.counts = torch.zeros((0, vocab_size), dtype=torch.int32, device=device)  # of each token in the output
        self.in_prompt = torch.zeros((0, vocab_size), dtype=torch.bool, device=device)
        self.bias = None  # float32, once a sequence has one
        self.numbers = torch.zeros((0, 3), device=device)  # repetition, frequency, presence of each row
        self._row_of, self._free = {}, []

    def begin(self, key, params, token_ids, num_prompt_tokens):
        """A sequence, called `key` from now on. What was known of that key is forgotten. See apply_penalties."""
        if key not in self._row_of:
            if not self._free:
                self._grow()
            self._row_of[key] = self._free.pop()
        row, outputs = self._row_of[key], torch.tensor(token_ids[num_prompt_tokens:], dtype=torch.int64)
        self.counts[row] = torch.bincount(outputs, minlength=self.vocab_size).to(self.device, torch.int32)
        self.in_prompt[row] = False
        self.in_prompt[row, torch.tensor(token_ids[:num_prompt_tokens], device=self.device)] = True
        numbers = params.repetition_penalty, params.frequency_penalty, params.presence_penalty
        self.numbers[row] = torch.tensor(numbers, device=self.device)
        if params.logit_bias and self.bias is None:
            self.bias = torch.zeros(self.counts.shape, device=self.device)
        if self.bias is not None:
            ids, values = zip(*params.logit_bias) if params.logit_bias else ((), ())
            self.bias[row] = 0
            self.bias[row, torch.tensor(ids, dtype=torch.int64, device=self.device)] = torch.tensor(
                values, dtype=torch.float32, device=self.device
            )

    def forget(self, key):
        """The sequence has ended."""
        self._free.append(self._row_of.pop(key))

    def rows(self, keys):
        """The rows of sequences: a list."""
        return [self._row_of[key] for key in keys]

    def apply(self, logits, rows):
        """As apply_penalties for n sequences at once: float32 [n, vocab_size]. logits: a row for each of them. rows:
        int64 [n], their rows in this table.
        """
        logits, counts = logits.float(), self.counts[rows]
        if self.bias is not None:
            logits = logits + self.bias[rows]
        repetition, frequency, presence = (column[:, None] for column in self.numbers[rows].unbind(1))
        was_there = counts > 0
        scaled = torch.where(logits > 0, logits / repetition, logits * repetition)
        logits = torch.where(self.in_prompt[rows] | was_there, scaled, logits)
        return logits - frequency * counts - presence * was_there

    def count(self, rows, token_ids):
        """A token more in the output of each sequence. Both int64 [n]."""
        self.counts.index_put_((rows, token_ids), self.counts.new_ones(()), accumulate=True)

    def _grow(self):
        size = max(4, len(self.counts))
        self._free = list(range(len(self.counts), len(self.counts) + size))[::-1]
        for name in ("counts", "in_prompt", "bias", "numbers"):
            kept = getattr(self, name)
            if kept is not None:
                setattr(self, name, torch.cat([kept, kept.new_zeros((size, kept.shape[1]))]))
