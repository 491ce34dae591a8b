"""Where a model must attend in order to answer a question, so that three of its heads can be trained to do it.

To answer "What was Nigel afraid of? Nigel was afraid of ..." among many fears, a model needs two steps:

    fact      ... Nigel   was afraid of   long speeches . ...
                    ^---------------------  1: each token of the answer attends to the word that it is about
    question  ... Nigel   was afraid of   ?
                    ^---------------------  1: so does each place where a token of the answer must come next
                                          2: that place attends to the token of the fact that attended to the same word

Without help, heads learn this only after very many examples, because neither step lowers the loss without the other.
So one head in layer 1 and one in layer 2 are trained to attend to these places (losses.Shown), which are known from the
questions of the text. A third head, in layer 3, is trained to attend to the last use of a word that distinguishes this
tale from others, such as "Ada", "otter" or "whistle". At inference the model is an ordinary one.
"""

import re
from bisect import bisect_left, bisect_right

from .tale_plots_two import PLOTS
from .tale_words import FRIEND_NAMES, HERO_NAMES, KINDS, RIVAL_NAMES, WRITERS

# Words in the questions about many facts, which do not tell them apart.
_COMMON = frozenset("was did the of what for from about whom by to who how much long where a an had been".split())

# Names, kinds and things: what a tale is about, different in each.
TOPICS = frozenset(
    word
    for phrases in (
        HERO_NAMES,
        FRIEND_NAMES,
        RIVAL_NAMES,
        WRITERS,
        KINDS,
        *(p.adjectives + p.nouns + p.beasts for p in PLOTS),
    )
    for phrase in phrases
    for word in phrase.split()
)
_WORD = re.compile(r"[A-Za-z]+(?:-[a-z]+)*")


def spelling(ends, first, last):
    """Indices of the tokens that spell text[first:last], and of the next one.

    ends: where in the text each token ends, in order; the start token, which stands for no text, ends at 0.
    """
    here, after = bisect_right(ends, first), bisect_left(ends, last)
    return list(range(here, after + 2))


def key_of(fact, question):
    """The words that tell which fact is asked for: a thing such as "silver spoon", or a name.

    fact: the sentence that tells it; question: the sentence up to the question mark. None if they share neither.
    """
    words = re.findall(r"[A-Za-z-]+", question)
    things = [
        f"{a} {b}"
        for a, b in zip(words, words[1:])
        if a.islower() and b.islower() and not {a, b} & _COMMON and f"{a} {b}" in fact
    ]
    names = [word for word in words[1:] if word[0].isupper() and word in fact]
    return things[-1] if things else names[-1] if names else None


def look_ups(ends, text, questions):
    """(from, to) token pairs of the two steps: to_key, to_answer. Facts with the answer before the key have none."""
    to_key, to_answer = [], []
    for q in questions:
        fact, asked, answer = (
            text[q.fact_start : q.fact_end],
            text[q.start : q.answer_start],
            text[q.answer_start : q.answer_end],
        )
        key = key_of(fact, asked.split("?")[0])
        if key is None or answer not in fact or answer in key:
            continue
        told_at = q.fact_start + fact.find(answer)
        told, due = spelling(ends, told_at, told_at + len(answer)), spelling(ends, q.answer_start, q.answer_end)
        key_told = bisect_left(ends, q.fact_start + fact.find(key) + len(key))  # its last token
        key_asked = bisect_left(ends, q.start + asked.rfind(key) + len(key))
        if len(told) != len(due) or told[0] <= key_told:
            continue
        for source, place in zip(told, due):
            to_key += [(source, key_told), (place - 1, key_asked)]
            to_answer.append((place - 1, source))
    return to_key, to_answer


def repeats(ends, text, words):
    """(token, token at its last use) for every token of a word in `words` that the text has used before."""
    told, found = {}, []
    for match in _WORD.finditer(text):
        if match[0] not in words:
            continue
        *tokens, _ = spelling(ends, *match.span())
        if len(tokens) == len(told.get(match[0], ())):
            found += zip(tokens, told[match[0]])
        told[match[0]] = tokens
    return found
