"""Trials of 02.generate_cached: new ids, the tokens of each call, what the cache holds, and the caller's list."""

from course_lib.practice.fixtures.tiny_sequence import AddingCache, AddingModel
from course_lib.practice.fixtures.token_lists import explain_tensors
from course_lib.practice.judge.exercise import Trial

from .solutions.generate_cached import generate_cached


def run(answer, prompt, n):
    """(what the answer returns, the caller's list after the call, the model, the cache)."""
    model, cache, ids = AddingModel(most_calls=n + len(prompt) + 6), AddingCache(), list(prompt)
    return answer(model, ids, n, cache), ids, model, cache


def story(prompt, n, then=None):
    lines = [
        "from course_lib.practice.play import AddingModel, AddingCache",
        "model, cache = AddingModel(), AddingCache()  # next: sum of id x (position + 1), modulo 5; the cache takes "
        "the sum",
    ]
    call = f"generate_cached(model, {'prompt' if then == 'prompt' else list(prompt)}, {n}, cache)"
    return [*lines, *([f"prompt = {list(prompt)}"] if then == "prompt" else []), call, *([then] if then else [])]


def new_ids(prompt, n):
    return Trial(
        story(prompt, n), lambda answer: run(answer, prompt, n)[0], explain=explain_tensors, size=len(prompt) + n
    )


def tokens_of_each_call(prompt, n):
    return Trial(
        story(prompt, n, "model.computed  # tokens in each call"),
        lambda answer: run(answer, prompt, n)[2].computed,
        note="the whole prompt, then one token a step",
        size=len(prompt) + n,
    )


def holds(prompt, n):
    return Trial(
        story(prompt, n, "len(cache.held)  # values that the cache got"),
        lambda answer: len(run(answer, prompt, n)[3].held),
        note="every token except the last new one, which is never computed",
        size=len(prompt) + n,
    )


def callers_list(prompt, n):
    return Trial(story(prompt, n, "prompt"), lambda answer: run(answer, prompt, n)[1], size=len(prompt) + n)


def ends_early(answer, _):
    """Whether it returns the first tokens only, and not of every prompt as many."""
    pairs = [(run(answer, p, 6)[0], run(generate_cached, p, 6)[0]) for p in ([1], [1, 2], [1, 2, 3], [4], [2])]
    return all(got == want[: len(got)] for got, want in pairs) and len({len(got) for got, _ in pairs}) > 1
