"""The data of the KV calculator, and what its settings come to, in bytes and in words.

The browser computes the same with every move of a slider: `fit`, `say`, `readable` and `stretches` are in sizes.js too.
"""

from course_lib.errors import ParameterError
from course_lib.viz.kit.format import count
from course_lib.viz.kit.inputs import keys, some, whole

UNITS = ((10**3, "kB"), (10**6, "MB"), (10**9, "GB"), (10**12, "TB"), (10**15, "PB"))


def calculator_data(models, gpus, settings):
    """What the browser draws from. settings: None for a model or a GPU is the first one.

    Raises ParameterError for tables that do not fit together.
    """
    models = [_model(index, one) for index, one in enumerate(some("models", models))]
    gpus = [_gpu(index, one) for index, one in enumerate(some("gpus", gpus))]
    for what, things in (("models", models), ("gpus", gpus)):
        names = [one["name"] for one in things]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ParameterError(f"`{what}` holds {twice!r} twice, and a choice goes by name. Give each its own.")
    dtypes = list(models[0]["kv_bytes_per_token"])
    for one in models:
        if set(one["kv_bytes_per_token"]) != set(dtypes):
            raise ParameterError(
                f"{one['name']} has kv_bytes_per_token for {', '.join(one['kv_bytes_per_token'])}, "
                f"{models[0]['name']} for {', '.join(dtypes)}. One choice holds for all models: give each the same "
                f"dtypes."
            )
    first = {"model": models[0]["name"], "gpu": gpus[0]["name"]}
    return {
        "title": "How many requests fit",
        "subtitle": "1 GB is 1,000,000,000 bytes",
        "first": 1,
        "last": 1,
        "models": models,
        "gpus": gpus,
        "dtypes": dtypes,
        "settings": {name: first[name] if value is None else value for name, value in settings.items()},
        "columns": ["model", "attention", "bytes a token", "weights, bytes", "one request, bytes", "requests that fit"],
        "say": [[]],
    }


def checked(data, settings):
    """The settings, where the tables have them; else raises ParameterError."""
    model = _named("model", data["models"], settings["model"])
    _named("gpu", data["gpus"], settings["gpu"])
    if settings["dtype"] not in data["dtypes"]:
        raise ParameterError(
            f"dtype = {settings['dtype']!r} is none that the models have. Give one of {', '.join(data['dtypes'])}."
        )
    where = f"tokens of a request to {model['name']}, whose context ends at {model['context']:,},"
    tokens = whole(where, settings["tokens"], 1, model["context"])
    return settings | {"tokens": tokens, "usable": whole("usable, in per cent,", settings["usable"], 1, 100)}


def fit(data, settings):
    """Bytes: usable, weights, room for the cache (below 0: the weights do not fit), one request, free; and requests."""
    model, gpu = (next(one for one in data[what + "s"] if one["name"] == settings[what]) for what in ("model", "gpu"))
    usable = gpu["bytes"] * settings["usable"] // 100
    room = usable - model["weight_bytes"]
    one = settings["tokens"] * model["kv_bytes_per_token"][settings["dtype"]]
    requests = max(0, room // one)
    return {
        "total": gpu["bytes"],
        "usable": usable,
        "weights": model["weight_bytes"],
        "room": room,
        "one": one,
        "requests": requests,
        "free": max(0, room - requests * one),
    }


def say(data, settings):
    """What the settings come to, in words: [kind, text] pieces."""
    sizes, model, gpu = fit(data, settings), settings["model"], settings["gpu"]
    tokens = count(settings["tokens"], "token")
    if sizes["room"] < 0:
        needs = f" {model} needs {readable(sizes['weights'])} for them"
        usable = f"{readable(sizes['usable'])} of the {gpu} are usable"
        missing = f"{readable(-sizes['room'])} are missing, before any cache."
        return [["strong", "The weights do not fit."], ["", f"{needs}, and {usable}: {missing}"]]
    if not sizes["requests"]:
        left = f" The weights of {model} leave {readable(sizes['room'])} of the {gpu}"
        needs = f"one request of {tokens} needs {readable(sizes['one'])}"
        most = sizes["room"] // (sizes["one"] // settings["tokens"])
        return [["strong", "Not one request fits."], ["", f"{left}; {needs}. {count(most, 'token')} would fit."]]
    verb = "fits" if sizes["requests"] == 1 else "fit"
    takes = f"The weights take {readable(sizes['weights'])}, each request {readable(sizes['one'])}."
    return [
        ["strong", f"{count(sizes['requests'], 'request')} of {tokens}"],
        ["", f" {verb} on the {gpu} beside the weights of {model}. {takes}"],
    ]


def readable(number):
    """Bytes in decimal units with three digits: 131,072 -> "131 kB". Whole numbers, so that JavaScript rounds alike."""
    if number < 1000:
        return count(number, "byte")
    for unit, name in UNITS:
        for digits in (2, 1, 0):
            scaled = (2 * number * 10**digits + unit) // (2 * unit)
            if scaled < 1000:
                part = f".{scaled % 10**digits:0{digits}d}" if digits else ""
                return f"{scaled // 10**digits}{part} {name}"
    return f"{number:,} bytes"


def stretches(sizes):
    """The bar in bytes: [(kind, from, to)], in order. What does not fit runs on past the usable part."""
    usable, weights, one, requests = sizes["usable"], sizes["weights"], sizes["one"], sizes["requests"]
    found = [("weights", 0, min(weights, usable))]
    if sizes["room"] < 0:
        return [*found, ("over", usable, weights)]
    if not requests:
        return [*found, ("needed", weights, weights + one)]
    end = weights + requests * one
    found += [("one", weights, weights + one), ("more", weights + one, end)]
    found += [("free", end, usable), ("spare", usable, sizes["total"])]
    return [(kind, a, b) for kind, a, b in found if b > a]


def table_row(data, settings, model):
    """The row of a model in the table, as texts."""
    bytes_per_token = model["kv_bytes_per_token"][settings["dtype"]]
    start = [model["name"], model["attention"], f"{bytes_per_token:,}", f"{model['weight_bytes']:,}"]
    if settings["tokens"] > model["context"]:
        return [*start, "over its context", "none"]
    sizes = fit(data, {**settings, "model": model["name"]})
    return [*start, f"{sizes['one']:,}", "weights do not fit" if sizes["room"] < 0 else f"{sizes['requests']:,}"]


def _named(what, things, name):
    for one in things:
        if one["name"] == name:
            return one
    raise ParameterError(
        f"{what} = {name!r} is not in the table. There are {', '.join(one['name'] for one in things)}."
    )


def _model(index, given):
    where = f"models[{index}]"
    keys(where, given, ("name", "attention", "weight_bytes", "kv_bytes_per_token", "context", "source"))
    keys(f"{where}: kv_bytes_per_token", given["kv_bytes_per_token"], ())
    some(f"{where}: kv_bytes_per_token", given["kv_bytes_per_token"])
    return {
        "name": str(given["name"]),
        "attention": str(given["attention"]),
        "weight_bytes": whole(f"{where}: weight_bytes", given["weight_bytes"], 1),
        "kv_bytes_per_token": {
            str(dtype): whole(f"{where}: kv_bytes_per_token[{dtype!r}]", size, 1)
            for dtype, size in given["kv_bytes_per_token"].items()
        },
        "context": whole(f"{where}: context", given["context"], 1),
        "source": str(given["source"]),
    }


def _gpu(index, given):
    where = f"gpus[{index}]"
    keys(where, given, ("name", "bytes", "source"))
    return {
        "name": str(given["name"]),
        "bytes": whole(f"{where}: bytes", given["bytes"], 1),
        "source": str(given["source"]),
    }
