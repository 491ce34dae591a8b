"""Tales as batches of tokens, and the tokenizer made from them.

Every tale is drawn from its own seed, so nothing is stored: the training text is the seeds from 0
up, the held-out text the seeds from HELD_OUT up, and a run that was interrupted goes on with the
seed it had reached.
"""

import random
import re
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from .tale_words import FRIEND_NAMES, HERO_NAMES, RIVAL_NAMES, WRITERS
from .tales import make_tale

VOCAB_SIZE = 2560
BOS, EOS = "<|begin|>", "<|end|>"
BOS_ID, EOS_ID = 0, 1
CONTEXT = 2048
HELD_OUT = 1_000_000_000
TALES_A_POOL = 256
# Most tokens of a tale follow from grammar and are learnt at once, or are free choices that cannot be
# learnt at all. Names told before and answers must be looked up further back, and weigh more.
NAME_WEIGHT = 4.0
NAMES = frozenset((*HERO_NAMES, *FRIEND_NAMES, *RIVAL_NAMES, *WRITERS))


def make_tokenizer(num_tales=6000):
    """A byte-level byte-pair tokenizer of VOCAB_SIZE entries, learnt from the first training tales."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, special_tokens=[BOS, EOS], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator((make_tale(seed).text for seed in range(num_tales)), trainer)
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, BOS_ID)])])
    return tokenizer


@dataclass(frozen=True)
class Batch:
    """Sequences of about one length. inputs, targets: int64 [rows, length]; weights: float32 [rows, length].

    Padding has weight 0; it stands at the end, where a causal model cannot see it.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor

    @property
    def num_tokens(self):
        return self.inputs.numel()


def tokenise(tokenizer, tale, answer_weight):
    """(token ids with begin and end, weight of each as a target) of one tale."""
    encoding = tokenizer.encode(tale.text)
    ids = [*encoding.ids, EOS_ID]
    weights = [1.0] * len(ids)
    for i in repeated_names(tale.text, encoding):
        weights[i] = NAME_WEIGHT
    for question in tale.questions:
        for i in answer_tokens(encoding, question):
            weights[i] = answer_weight
    return ids, weights


def repeated_names(text, encoding):
    """Indices of the tokens that spell a name which the text has told before."""
    told, spans = set(), []
    for word in re.finditer(r"[A-Z][a-z]+", text):
        if word[0] in told:
            spans.append(word.span())
        elif word[0] in NAMES:
            told.add(word[0])
    tokens, found = list(enumerate(encoding.offsets)), []
    at = 0
    for start, end in spans:  # both run from left to right
        while tokens[at][1][1] <= start:
            at += 1
        ahead = at
        while ahead < len(tokens) and tokens[ahead][1][0] < end:
            found.append(ahead)
            ahead += 1
    return found


def answer_tokens(encoding, question):
    """Indices of the tokens that spell the answer, and of the one after it, which must end it."""
    inside = [i for i, (start, end) in enumerate(encoding.offsets)
              if end > question.answer_start and start < question.answer_end and end > start]
    return [*inside, inside[-1] + 1]


def make_pool(tokenizer, index, *, chapters=None, answer_weight=4.0, tokens_a_batch=3072):
    """The batches of pool `index`: 256 tales by length, cut into batches, shuffled by the index."""
    first = index * TALES_A_POOL
    tales = (make_tale(seed, chapters=chapters) for seed in range(first, first + TALES_A_POOL))
    rows = [tokenise(tokenizer, tale, answer_weight) for tale in tales]
    rows = sorted((row for row in rows if len(row[0]) <= CONTEXT + 1), key=lambda row: len(row[0]))
    batches, group = [], []
    for row in rows:
        if group and len(row[0]) * (len(group) + 1) > tokens_a_batch:
            batches.append(_batch(group))
            group = []
        group.append(row)
    batches.append(_batch(group))
    random.Random(index).shuffle(batches)
    return batches


def _batch(rows):
    length = max(len(ids) for ids, _ in rows) - 1
    inputs = torch.zeros(len(rows), length, dtype=torch.int64)
    targets, weights = inputs.clone(), torch.zeros(len(rows), length)
    for row, (ids, weight) in enumerate(rows):
        n = len(ids) - 1
        inputs[row, :n], targets[row, :n] = torch.tensor(ids[:-1]), torch.tensor(ids[1:])
        weights[row, :n] = torch.tensor(weight[1:])
    return Batch(inputs, targets, weights)
