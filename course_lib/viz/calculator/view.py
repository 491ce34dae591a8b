"""The KV calculator: weights, the cache of each request and what is left of a GPU; how many requests fit at once."""

from course_lib.errors import ParameterError
from course_lib.viz.kit import still as static
from course_lib.viz.kit.base import View
from course_lib.viz.kit.inputs import count, keys, some, whole

SETTINGS = ("model", "gpu", "tokens", "usable", "dtype")


def kv_calculator(models, gpus, *, model=None, gpu=None, tokens=4096, dtype="bfloat16", usable=90):
    """Choose a model and a GPU, move the sliders, and see at once how many requests fit beside the weights.

    models: list of dicts {"name", "attention" (such as "GQA"), "weight_bytes", "kv_bytes_per_token": {dtype: bytes},
        "context" (most tokens of a request), "source"}; gpus: list of dicts {"name", "bytes", "source"}.
    model, gpu: the names shown first; None: the first of each. tokens: per request. dtype: of the numbers in the cache.
    usable: per cent of the GPU's memory for weights and cache, as vLLM's `gpu_memory_utilization`.
    `selected` holds these settings: {"model", "gpu", "tokens", "usable", "dtype"}. Set some of them, and the others stay.
    Raises ParameterError for anything that does not fit together.
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
                f"{one['name']} has kv_bytes_per_token for {', '.join(one['kv_bytes_per_token'])}, {models[0]['name']} for {', '.join(dtypes)}. "
                "One choice holds for all models: give each the same dtypes."
            )
    model = models[0]["name"] if model is None else model
    settings = {
        "model": model,
        "gpu": gpus[0]["name"] if gpu is None else gpu,
        "tokens": tokens,
        "usable": usable,
        "dtype": dtype,
    }
    view = KVCalculator(
        {
            "title": "How many requests fit",
            "subtitle": "1 GB is 1,000,000,000 bytes",
            "first": 1,
            "last": 1,
            "models": models,
            "gpus": gpus,
            "dtypes": dtypes,
            "settings": settings,
            "columns": [
                "model",
                "attention",
                "bytes a token",
                "weights, bytes",
                "one request, bytes",
                "requests that fit",
            ],
            "say": [[]],
        }
    )
    view.selected = settings
    return view


class KVCalculator(View):
    """See `kv_calculator`."""

    name = "calculator"
    noun = "KV calculator"

    @property
    def settings(self):
        """What is set now, a dict."""
        return self.selected or self.data["settings"]

    @property
    def requests(self):
        """How many requests fit with these settings."""
        return fit(self.data, self.settings)["requests"]

    def check_selected(self, selected):
        if selected is None:
            return None
        if not isinstance(selected, dict) or not set(selected) <= set(SETTINGS):
            raise ParameterError(
                f"selected = {selected!r} are no settings of the calculator. Give a dict with some of {', '.join(SETTINGS)}."
            )
        new = {**(getattr(self, "selected", None) or self.data["settings"]), **selected}
        model = _named("model", self.data["models"], new["model"])
        _named("gpu", self.data["gpus"], new["gpu"])
        if new["dtype"] not in self.data["dtypes"]:
            raise ParameterError(
                f"dtype = {new['dtype']!r} is none that the models have. Give one of {', '.join(self.data['dtypes'])}."
            )
        new["tokens"] = whole(
            f"tokens of a request to {model['name']}, whose context ends at {model['context']:,},",
            new["tokens"],
            1,
            model["context"],
        )
        new["usable"] = whole("usable, in per cent,", new["usable"], 1, 100)
        return new

    def words(self, step=None):
        self._at(step)
        return "".join(text for _, text in say(self.data, self.settings))

    def _rows(self, step):
        return [
            [
                m["name"],
                m["attention"],
                *(f"{n:,}" for n in (m["kv_bytes_per_token"][self.settings["dtype"]], m["weight_bytes"])),
                *_row(self.data, self.settings, m),
            ]
            for m in self.data["models"]
        ]

    def _paint(self, step):
        return _paint(self.data, self.settings)

    def __repr__(self):
        now = self.settings
        return f"<{self.noun}: {now['model']} on {now['gpu']}, {count(self.requests, 'request')} of {count(now['tokens'], 'token')}>"


def fit(data, settings):
    """Bytes: usable, weights, room for the cache (below 0: the weights do not fit), one request, free; and requests.

    The same few lines are in calculator.js.
    """
    model, gpu = (next(one for one in data[what + "s"] if one["name"] == settings[what]) for what in ("model", "gpu"))
    usable = gpu["bytes"] * settings["usable"] // 100
    room = usable - model["weight_bytes"]
    one = settings["tokens"] * model["kv_bytes_per_token"][settings["dtype"]]
    requests = max(0, room // one)
    return {"total": gpu["bytes"], "usable": usable, "weights": model["weight_bytes"], "room": room, "one": one,
            "requests": requests, "free": max(0, room - requests * one)}  # fmt: skip


def say(data, settings):
    """What the settings come to, in words: [kind, text] pieces. The same as in calculator.js."""
    sizes, model, gpu = fit(data, settings), settings["model"], settings["gpu"]
    if sizes["room"] < 0:
        return [["strong", "The weights do not fit."],
                ["", f" {model} needs {readable(sizes['weights'])} for them, and {readable(sizes['usable'])} of the {gpu} are usable: "
                     f"{readable(-sizes['room'])} are missing, before any cache."]]  # fmt: skip
    tokens = count(settings["tokens"], "token")
    if not sizes["requests"]:
        most = sizes["room"] // (sizes["one"] // settings["tokens"])
        return [["strong", "Not one request fits."],
                ["", f" The weights of {model} leave {readable(sizes['room'])} of the {gpu}; one request of {tokens} needs {readable(sizes['one'])}. "
                     f"{count(most, 'token')} would fit."]]  # fmt: skip
    return [["strong", f"{count(sizes['requests'], 'request')} of {tokens}"],
            ["", f" {'fits' if sizes['requests'] == 1 else 'fit'} on the {gpu} beside the weights of {model}. "
                 f"The weights take {readable(sizes['weights'])}, each request {readable(sizes['one'])}."]]  # fmt: skip


def readable(number):
    """Bytes in decimal units with three digits: 131,072 -> "131 kB". Whole numbers only, so that JavaScript rounds alike."""
    if number < 1000:
        return count(number, "byte")
    for unit, name in ((10**3, "kB"), (10**6, "MB"), (10**9, "GB"), (10**12, "TB"), (10**15, "PB")):
        for digits in (2, 1, 0):
            scaled = (2 * number * 10**digits + unit) // (2 * unit)
            if scaled < 1000:
                return (
                    f"{scaled // 10**digits}.{scaled % 10**digits:0{digits}d}" if digits else str(scaled)
                ) + f" {name}"
    return f"{number:,} bytes"


def stretches(sizes):
    """The bar in bytes: [(kind, from, to)], in order. What does not fit runs on past the usable part. As in calculator.js."""
    usable, weights, one, requests = sizes["usable"], sizes["weights"], sizes["one"], sizes["requests"]
    found = [("weights", 0, min(weights, usable))]
    if sizes["room"] < 0:
        return [*found, ("over", usable, weights)]
    if not requests:
        return [*found, ("needed", weights, weights + one)]
    found += [("one", weights, weights + one), ("more", weights + one, weights + requests * one)]
    found += [("free", weights + requests * one, usable), ("spare", usable, sizes["total"])]
    return [(kind, a, b) for kind, a, b in found if b > a]


def _row(data, settings, model):
    """Bytes of one request and requests that fit, for the table."""
    if settings["tokens"] > model["context"]:
        return ["over its context", "none"]
    sizes = fit(data, {**settings, "model": model["name"]})
    return [f"{sizes['one']:,}", "weights do not fit" if sizes["room"] < 0 else f"{sizes['requests']:,}"]


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


def _paint(data, settings):
    """The settings, the sum and the bar with matplotlib; the same picture as calculator.js, in light colours."""
    sizes, colour = fit(data, settings), static.palette()
    figure, axes = static.figure(334)
    static.title(axes, data)
    looks = {
        "weights": {"facecolor": colour["r0"]},
        "one": {"facecolor": colour["r2"]},
        "more": {"facecolor": colour["r2"] + "33", "edgecolor": colour["r2"], "linewidth": 0.9},
        "free": {"facecolor": "none", "edgecolor": colour["faint"], "linestyle": "--", "linewidth": 0.9},
        "spare": {**static.hatched(colour["faint"], colour["free"], 4), "linewidth": 0},
        "over": static.hatched(colour["r1"]),
        "needed": {"facecolor": "none", "edgecolor": colour["r1"], "linestyle": "--", "linewidth": 1.1},
    }
    names = {
        "weights": "weights",
        "one": "one request",
        "more": "further requests",
        "free": "free",
        "spare": "kept for computing",
    }
    static.legend(axes, [(text, looks[kind]) for kind, text in names.items()])
    model = next(one for one in data["models"] if one["name"] == settings["model"])
    for index, (name, text) in enumerate([
        ("model", f"{model['name']}, {model['attention']}"), ("GPU", settings["gpu"]), ("cache in", settings["dtype"]),
        ("tokens per request", f"{settings['tokens']:,}"), ("usable memory", f"{settings['usable']} %"),
    ]):  # fmt: skip
        static.write(axes, 22, 92 + 21 * index, name, size=12.5, colour="soft")
        static.write(axes, 160, 92 + 21 * index, text, size=12.5)
    none = sizes["room"] < 0
    big = static.write(axes, 470, 94, "none" if none else f"{sizes['requests']:,}", size=25, weight="bold")
    text = "the weights do not fit" if none else "request at once" if sizes["requests"] == 1 else "requests at once"
    static.write(axes, 470 + static.text_width(axes, big) + 10, 99, text, size=13, colour="soft")
    lines = [
        ("usable memory", f"{readable(sizes['total'])} × {settings['usable']} %", readable(sizes["usable"])),
        ("weights", "", "− " + readable(sizes["weights"])),
        ("missing" if none else "room for the cache", "", readable(abs(sizes["room"]))),
        (
            "one request",
            f"{settings['tokens']:,} × {count(sizes['one'] // settings['tokens'], 'byte')}",
            readable(sizes["one"]),
        ),
    ]
    for index, (name, how, value) in enumerate(lines):
        y = 124 + 19 * index
        static.write(axes, 470, y, name, size=12, colour="soft")
        static.write(axes, 800, y, how, size=11.5, colour="soft", ha="right", family="monospace")
        static.write(axes, 898, y, value, size=11.5, ha="right", family="monospace")
    axes.plot([820, 898], [152.5, 152.5], color=colour["faint"], linewidth=0.8)
    _bar(axes, sizes, settings, looks, 226)
    static.say(axes, 288, "".join(text for _, text in say(data, settings)))
    return figure


def _bar(axes, sizes, settings, looks, top):
    colour, tall = static.palette(), 36
    fits = sizes["requests"] > 0
    scale = max(
        sizes["total"],
        sizes["weights"],
        0 if fits or sizes["room"] < 0 else min(sizes["weights"] + sizes["one"], 2 * sizes["total"]),
    )

    def x(number):
        return 22 + 876 * min(1, number / scale)

    for kind, a, b in stretches(sizes):
        step = (x(b) - x(a)) / max(1, sizes["requests"] - 1)
        if kind == "more" and step >= 5:
            for index in range(sizes["requests"] - 1):
                static.box(axes, x(a) + index * step + 1, top, step - 2, tall, radius=min(3, step / 3), **looks[kind])
            continue
        static.box(axes, x(a) + 1, top, max(1.5, x(b) - x(a) - 2), tall, **looks[kind])
        for index in range(1, int((x(b) - x(a)) / 4) if kind == "more" else 0):
            axes.plot([x(a) + 4 * index] * 2, [top + 2, top + tall - 2], color=colour["r2"] + "70", linewidth=0.7)
    axes.plot([x(sizes["usable"])] * 2, [top - 6, top + tall + 6], color=colour["ink"], linewidth=1.3)
    text = f"{settings['usable']} % of {readable(sizes['total'])} usable: {readable(sizes['usable'])}"
    drawn = static.write(axes, 22, top - 14, text, size=12, colour="soft")
    drawn.set_x(
        max(22, min(898 - static.text_width(axes, drawn), x(sizes["usable"]) - static.text_width(axes, drawn) / 2))
    )
    for kind, a, b in stretches(sizes):
        a = sizes["weights"] if kind == "more" else a
        text = {"weights": "weights", "more": count(sizes["requests"], "request"), "over": f"{readable(-sizes['room'])} too much",
                "needed": f"one request, {readable(sizes['one'])}", "free": "free"}.get(kind)  # fmt: skip
        if kind == "one" and sizes["requests"] == 1:
            text = "1 request"
        if text and (x(b) - x(a) > 7.2 * len(text) or kind in ("over", "needed")):
            drawn = static.write(axes, 22, top + tall + 14, text, size=12, colour="soft")
            wide = static.text_width(axes, drawn)
            drawn.set_x(max(22, min(898 - wide, (x(a) + x(b) - wide) / 2)))
