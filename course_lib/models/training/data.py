"""Tales as batches of tokens, and the tokenizer made from them.

Every tale is drawn from its own seed, so nothing is stored: the training text is the seeds from 0
up, the held-out text the seeds from HELD_OUT up, and a run that was interrupted goes on with the
seed it had reached.
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
SHEETS = 500_000_000  # tales whose facts make quiz sheets have seeds of their own
TALES_A_POOL = 256
SHEETS_A_POOL, TALES_BESIDE_SHEETS = 80, 128
# Most tokens of a tale follow from grammar and are learnt at once, or are free choices that cannot be
# learnt at all. How a paragraph starts and what is asked depends on all that was told; names and
# things told before, and answers, must be looked up further back. These weigh more.
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
    """Sequences of about one length. inputs, targets: int64 [rows, length]; weights: float32 [rows, length].

    Padding has weight 0; it stands at the end, where a causal model cannot see it.
    to_key, to_answer, to_topic: int64 [n, 3], the look-ups as (row, from, to); see lookups.py.
    may_come: int64 [n, 3], (row, place, token): the tokens that may come next there, for places inside a question.
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
    """One text as tokens: ids with start and end, the weight of each as a target, the look-ups in it, what may be asked."""

    ids: list
    weights: list
    to_key: list
    to_answer: list
    to_topic: list
    may_come: list


def tokenise(tokenizer, told):
    """The Row of a Tale or a Sheet.

    A sheet starts with the end token, so that no tale ever starts like one, and little in it but the answers counts.
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
    """(place, token) for each token that may follow at a place inside the question, given how it began.

    Which of the facts is asked for is a free choice, so the question that stands there says little. But the model must
    choose one that was told, and not ask twice; without this it now and then asks about somebody from another tale.
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
    """Token ids of a question that stands after a space or a line's end. The space belongs to its first word."""
    return tuple(tokenizer.encode(before + question, add_special_tokens=False).ids[before == "\n" :])


@dataclass(frozen=True)
class Sheet:
    """A quiz without a tale; text and questions as in a Tale."""

    text: str
    questions: tuple[Question, ...]


def make_sheet(index, most=10):
    """Facts of two kinds in one order, then all of them asked in another.

    In a tale few facts are of the same kind, so the kind alone often tells the answer. Here it does not:
    only who or what is asked for does.
    """
    dice = random.Random(index)
    by_kind = {}
    for seed in range(SHEETS + 8 * index, SHEETS + 8 * index + 8):
        tale = make_tale(seed, chapters=8)
        for q in tale.questions:  # the same question of two tales stands once
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
    """Where in the text each token ends. Asked for once: `encoding.offsets` makes its list anew each time."""
    return [end for _, end in encoding.offsets]


def answer_tokens(ends, question):
    """Indices of the tokens that spell the answer, and of the one after it, which must end it."""
    return spelling(ends, question.answer_start, question.answer_end)


def make_pool(tokenizer, index, *, chapters=None, sheets=False, tokens_a_batch=32_768):
    """The batches of pool `index`: tales by length, cut into batches, shuffled by the index.

    256 tales, or with sheets=True 64 of them beside 300 quiz sheets.
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
    length = (
        -(-(max(len(row.ids) for row in rows) - 1) // 64) * 64
    )  # few different lengths: a GPU prepares for each anew
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
