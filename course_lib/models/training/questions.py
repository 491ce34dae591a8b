"""Held-out tales with their questions as token numbers: what `course_lib.decoding.damage` measures on."""

from bisect import bisect_right

from .data import HELD_OUT, answer_tokens, ends_of
from .tales import make_tale


def asked_tales(tokenizer, count, *, chapters=None, first=HELD_OUT):
    """[(token ids, questions)] of `count` tales that no bundled model was trained on.

    tokenizer: a `tokenizers.Tokenizer`. A question is (tokens between the start of its fact and its answer, the indices
    of the tokens that spell the answer and of the one that ends it).
    """
    made = []
    for seed in range(first, first + count):
        tale = make_tale(seed, chapters=chapters)
        encoding = tokenizer.encode(tale.text)
        ends, questions = ends_of(encoding), []
        for question in tale.questions:
            tokens = answer_tokens(ends, question)
            questions.append((tokens[0] - bisect_right(ends, question.fact_start), tokens))
        made.append((encoding.ids, questions))
    return made
