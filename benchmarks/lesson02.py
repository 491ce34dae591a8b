"""Lesson 02 on a GPU: the naive loop against the cached one."""

from timing import median_seconds

from course_lib.decoding import SamplingParams, generate_cached, generate_naive


def tables(model, tokenizer, device, quick=False):
    prompt, rows = tokenizer.encode("Once upon a time"), []
    for n in (16, 32) if quick else (128, 256, 512, 1024):
        params = SamplingParams(max_tokens=n, ignore_eos=True)
        if generate_naive(model, prompt, params) != generate_cached(model, prompt, params):
            raise RuntimeError("The two loops write different tokens, so their times cannot be compared.")
        naive, cached = (median_seconds(lambda: loop(model, prompt, params), device, 1) for loop in (generate_naive, generate_cached))
        rows.append([n, naive, cached, naive / cached])
    return [{"title": "Writing a text with tale, float32", "columns": ["new tokens", "naive, s", "cached, s", "times as fast"], "rows": rows}]
