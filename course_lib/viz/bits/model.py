"""The data of the caches side by side: checked rows, their words, and sentences about each stretch of distances."""

import math

from course_lib.errors import ParameterError
from course_lib.viz.kit.format import count, enumerated
from course_lib.viz.kit.inputs import keys, some, whole

NEEDED = ("name", "bytes", "error", "perplexity", "right")


def bits_data(caches, stretches, title, subtitle):
    """What the browser draws from. Raises ParameterError for what does not fit together."""
    stretches = _stretches(some("stretches", stretches))
    caches = [_cache(at, cache, stretches) for at, cache in enumerate(some("caches", caches))]
    tokens, asked = stretches[-1]["upto"], sum(one["asked"] for one in stretches)
    data = {
        "title": title,
        "subtitle": subtitle or f"{count(len(caches), 'cache')}, {count(asked, 'question')}",
        "first": 1,
        "last": len(caches),
        "caches": caches,
        "stretches": stretches,
        "tokens": tokens,
        "most_bytes": max(one["bytes"] for one in caches),
        "most_error": max(one["error"] for one in caches) or 1.0,
        "columns": [
            "cache",
            f"KB for {tokens:,} tokens",
            "logit error",
            "perplexity",
            *(f"right to {one['upto']:,}" for one in stretches),
            "all",
        ],
    }
    data["say"] = [_words(data, cache) for cache in caches]
    data["told"] = [_told(caches, at, one) for at, one in enumerate(stretches)]
    data["rows"] = [_row(cache, stretches) for cache in caches]
    return data


def kilobytes(num_bytes):
    """1572864 -> "1,573 KB"."""
    return f"{round(num_bytes / 1000):,} KB"


def parts_seen(cache, tokens):
    """[(from, to, "sink" | "window" | "gone")] of the positions that the newest of so many tokens sees, in order."""
    window = cache["window"]
    first = 0 if window is None else max(0, tokens - window)
    sinks = min(cache["sinks"], first)
    return [
        part for part in ((0, sinks, "sink"), (sinks, first, "gone"), (first, tokens, "window")) if part[1] > part[0]
    ]


def _stretches(given):
    made, before = [], 0
    for at, stretch in enumerate(given):
        if not isinstance(stretch, (tuple, list)) or len(stretch) != 2:
            raise ParameterError(
                f"stretches[{at}] is {stretch!r}; it is (up to how many tokens, how many questions), such as (256, 40)."
            )
        upto = whole(f"the end of stretches[{at}]", stretch[0], before + 1)
        asked = whole(f"the questions of stretches[{at}]", stretch[1], 1)
        made.append({"above": before, "upto": upto, "asked": asked})
        before = upto
    return made


def _cache(at, given, stretches):
    where = f"caches[{at}]"
    keys(where, given, NEEDED)
    right = list(given["right"])
    if len(right) != len(stretches):
        raise ParameterError(
            f"{where}['right'] has {len(right)} numbers and there are {len(stretches)} stretches. Give one for each."
        )
    window = given.get("window")
    return {
        "name": str(given["name"]),
        "bytes": whole(f"{where}['bytes']", given["bytes"], 1),
        "error": _number(f"{where}['error']", given["error"]),
        "perplexity": _number(f"{where}['perplexity']", given["perplexity"]),
        "right": [whole(f"{where}['right']", n, 0, one["asked"]) for n, one in zip(right, stretches)],
        "window": None if window is None else whole(f"{where}['window']", window, 1),
        "sinks": whole(f"{where}['sinks']", given.get("sinks", 0)),
    }


def _number(where, value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ParameterError(f"{where} is {value!r}; it has to be a number of 0 or more.")
    return float(value)


def _words(data, cache):
    """What a cache costs and saves: [kind, text] pieces."""
    asked, right = sum(one["asked"] for one in data["stretches"]), sum(cache["right"])
    share = cache["bytes"] / data["caches"][0]["bytes"]
    said = f": {kilobytes(cache['bytes'])}, {share:.2f} of {data['caches'][0]['name']}. "
    answers = f"All {asked} answers are right" if right == asked else f"{right} of {asked} answers are right"
    errors = f", perplexity {cache['perplexity']:.3f}, logit error {cache['error']:.3f}."
    return [["strong", cache["name"]], ["", said + answers + errors + _seen_words(data, cache)]]


def _seen_words(data, cache):
    parts = {kind: to - start for start, to, kind in parts_seen(cache, data["tokens"])}
    if "gone" not in parts:
        return ""
    sinks = f" and the first {parts['sink']}" if "sink" in parts else ""
    return f" The newest token sees the last {count(parts['window'], 'token')}{sinks}; {parts['gone']:,} are gone."


def _told(caches, at, stretch):
    """A sentence about one stretch of distances in all caches."""
    right = [(cache["right"][at], f"“{cache['name']}”") for cache in caches]
    head = f"{stretch['asked']} questions at {stretch['above'] + 1:,} to {stretch['upto']:,} tokens: "
    full = [name for n, name in right if n == stretch["asked"]]
    worst, name = min(right)
    if len(full) == len(caches):
        return f"{head}all are right in every cache."
    return (
        f"{head}all are right with {enumerated(full, most=12) if full else 'no cache'}; fewest, {worst}, with {name}."
    )


def _row(cache, stretches):
    answers = [f"{n} of {one['asked']}" for n, one in zip(cache["right"], stretches)]
    whole_sum = f"{sum(cache['right'])} of {sum(one['asked'] for one in stretches)}"
    size = f"{round(cache['bytes'] / 1000):,}"
    return [cache["name"], size, f"{cache['error']:.4f}", f"{cache['perplexity']:.3f}", *answers, whole_sum]
