"""Tales as batches of tokens, and the tokenizer made from them.

Every tale is generated from its own seed, so no text is stored: the training text is the seeds from 0 on, the held-out
text the seeds from HELD_OUT on, and an interrupted run continues with the seed that it had reached.
"""

import random
import re
from bisect import bisect_right
from dataclasses import dataclass, fields
from functools import lru_cache

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from .lookups import TOPICS, look_ups, repeats, spelling
from .tales import Question, make_tale

VOCAB_SIZE = 2560
BOS, EOS = "<|begin|>", "<|end|>"
BOS_ID, EOS_ID = 0, 1
CONTEXT = 2048
HELD_OUT = 1_000_000_000
SHEETS = 500_000_000  # seeds from here on are for the tales whose facts make quiz sheets
TALES_A_POOL = 256
SHEETS_A_POOL, TALES_BESIDE_SHEETS = 80, 128
# Most tokens of a tale follow from the grammar and are learnt quickly, or are free choices that cannot be learnt. The
# start of a paragraph and the choice of a question depend on the whole text before; repeated names and things, and
# answers, must be looked up far back. These have a larger weight in the loss.
TURN_WEIGHT, TOPIC_WEIGHT, ANSWER_WEIGHT = 4.0, 8.0, 16.0


def make_tokenizer(num_tales=6000):
    """A byte-level byte-pair tokenizer of VOCAB_SIZE entries, learnt from the first training tales."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[BOS, EOS],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator((make_tale(seed).text for seed in range(num_tales)), trainer)
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, BOS_ID)]),
        ]
    )
    return tokenizer


@dataclass(frozen=True)
class Batch:
    """Sequences of similar length. inputs, targets: int64 [rows, length]; weights: float32 [rows, length].

    Padding is at the end, where a causal model does not see it, and has weight 0.
    to_key, to_answer, to_topic: int64 [n, 3], the look-ups as (row, from, to); see lookups.py.
    may_come: int64 [n, 3], (row, place, token): the tokens that are allowed next, for places inside a question.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    to_key: torch.Tensor
    to_answer: torch.Tensor
    to_topic: torch.Tensor
    may_come: torch.Tensor

    @property
    def num_tokens(self):
        return self.inputs.numel()

    def to(self, device):
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True)
class Row:
    """One text as tokens: ids with start and end, the weight of each as a target, its look-ups, and allowed tokens."""

    ids: list
    weights: list
    to_key: list
    to_answer: list
    to_topic: list
    may_come: list


def tokenise(tokenizer, told):
    """The Row of a Tale or a Sheet.

    A sheet starts with the end token, so that no tale starts like one. In a sheet, tokens outside questions have a
    weight of only 0.1.
    """
    encoding, is_sheet = tokenizer.encode(told.text), isinstance(told, Sheet)
    ends = ends_of(encoding)
    ids = [EOS_ID if is_sheet else BOS_ID, *encoding.ids[1:], EOS_ID]
    weights = [0.1 if is_sheet else 1.0] * len(ids)
    topics = [] if is_sheet else repeats(ends, told.text, TOPICS)
    for start in [] if is_sheet else re.finditer(r"(?<=\n\n)\S", told.text):
        weights[bisect_right(ends, start.start())] = TURN_WEIGHT
    for question in told.questions:
        for i in spelling(ends, question.start, question.answer_start):
            weights[i] = max(weights[i], TURN_WEIGHT)
    for i, _ in topics:
        weights[i] = TOPIC_WEIGHT
    for question in told.questions:
        for i in answer_tokens(ends, question):
            weights[i] = ANSWER_WEIGHT
    to_topic = [(i - 1, source) for i, source in topics]
    may_come = [pair for question in told.questions for pair in choices(tokenizer, ends, told.text, question)]
    return Row(ids, weights, *look_ups(ends, told.text, told.questions), to_topic, may_come)


def choices(tokenizer, ends, text, question):
    """(place, token) for each token that is allowed at a place inside the question, given its beginning.

    Any fact of the tale may be asked for, so the question in the text is only one example. But it must be a fact that
    was told and not asked for yet; without this loss the model sometimes asks about a name from another tale.
    """
    before = text[question.start - 1 : question.start]
    spelt = [ids_of(tokenizer, before, other) for other in question.could_be]
    asked = spelt[question.could_be.index(text[question.start : text.index("?", question.start) + 1])] if spelt else ()
    first = bisect_right(ends, question.start)
    return [
        (first + place - 1, token)
        for place in range(1, len(asked))
        for token in {ids[place] for ids in spelt if ids[:place] == asked[:place] and len(ids) > place}
    ]


@lru_cache(maxsize=100_000)
def ids_of(tokenizer, before, question):
    """The token ids of a question after a space or a line break. A space belongs to the first word."""
    return tuple(tokenizer.encode(before + question, add_special_tokens=False).ids[before == "\n" :])


@dataclass(frozen=True)
class Sheet:
    """A quiz sheet: facts and questions without a tale. text and questions are as in a Tale."""

    text: str
    questions: tuple[Question, ...]


def make_sheet(index, most=10):
    """Facts of two kinds in one order, then questions about all of them in another order.

    In a tale few facts are of the same kind, so the kind alone often determines the answer. In a sheet it does not.
    """
    dice = random.Random(index)
    by_kind = {}
    for seed in range(SHEETS + 8 * index, SHEETS + 8 * index + 8):
        tale = make_tale(seed, chapters=8)
        for q in tale.questions:  # a question that two tales have is kept once
            by_kind.setdefault(q.kind, {})[tale.text[q.start : q.answer_start]] = tale.text, q
    kinds = sorted(by_kind)
    dice.shuffle(kinds)
    kinds.sort(key=lambda kind: -len(by_kind[kind]) + 3 * dice.random())
    chosen = [row for kind in kinds[:2] for row in by_kind[kind].values()]
    dice.shuffle(chosen)
    chosen = chosen[:most]
    text, told = "", []
    for tale, q in chosen:
        told.append((len(text), len(text) + q.fact_end - q.fact_start))
        text += tale[q.fact_start : q.fact_end] + " "
    order = list(range(len(chosen)))
    dice.shuffle(order)
    questions = []
    for number in order:
        tale, q = chosen[number]
        text = text.rstrip() + "\n\n"
        shift = len(text) - q.start
        questions.append(
            Question(
                start=len(text),
                answer_start=q.answer_start + shift,
                answer_end=q.answer_end + shift,
                fact_start=told[number][0],
                fact_end=told[number][1],
                kind=q.kind,
            )
        )
        text += tale[q.start : tale.index(".", q.answer_end) + 1]
    return Sheet(text, tuple(questions))


def ends_of(encoding):
    """Where in the text each token ends. Call it once: `encoding.offsets` makes a new list at each access."""
    return [end for _, end in encoding.offsets]


def answer_tokens(ends, question):
    """Indices of the tokens that spell the answer, and of the next one, which ends it."""
    return spelling(ends, question.answer_start, question.answer_end)


def make_pool(tokenizer, index, *, chapters=None, sheets=False, tokens_a_batch=32_768):
    """The batches of pool `index`: tales sorted by length, divided into batches, shuffled with the index as the seed.

    TALES_A_POOL tales, or with sheets=True TALES_BESIDE_SHEETS tales and SHEETS_A_POOL quiz sheets.
    """
    first = index * TALES_A_POOL
    count = TALES_BESIDE_SHEETS if sheets else TALES_A_POOL
    told = [make_tale(seed, chapters=chapters) for seed in range(first, first + count)]
    if sheets:
        told += [make_sheet(number) for number in range(index * SHEETS_A_POOL, (index + 1) * SHEETS_A_POOL)]
    rows = [tokenise(tokenizer, text) for text in told]
    rows = sorted((row for row in rows if len(row.ids) <= CONTEXT + 1), key=lambda row: len(row.ids))
    batches, group = [], []
    for row in rows:
        if group and len(row.ids) * (len(group) + 1) > tokens_a_batch:
            batches.append(_batch(group))
            group = []
        group.append(row)
    batches.append(_batch(group))
    random.Random(index).shuffle(batches)
    return batches


def _batch(rows):
    longest = max(len(row.ids) for row in rows) - 1
    length = -(-longest // 64) * 64  # a multiple of 64: a GPU has to prepare for each new length
    inputs = torch.zeros(len(rows), length, dtype=torch.int64)
    targets, weights = inputs.clone(), torch.zeros(len(rows), length)
    for number, row in enumerate(rows):
        n = len(row.ids) - 1
        inputs[number, :n], targets[number, :n] = torch.tensor(row.ids[:-1]), torch.tensor(row.ids[1:])
        weights[number, :n] = torch.tensor(row.weights[1:])
    return Batch(
        inputs, targets, weights, *(_pairs(rows, what) for what in ("to_key", "to_answer", "to_topic", "may_come"))
    )


def _pairs(rows, which):
    found = [(number, source, place) for number, row in enumerate(rows) for source, place in getattr(row, which)]
    return torch.tensor(found, dtype=torch.int64).view(-1, 3)
