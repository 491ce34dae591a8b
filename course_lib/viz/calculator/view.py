"""The KV calculator: weights, the cache of each request and what is left of a GPU; how many requests fit at once."""

from course_lib.errors import ParameterError
from course_lib.viz.kit.base import View
from course_lib.viz.kit.format import count

from .model import calculator_data, checked, fit, say, table_row

SETTINGS = ("model", "gpu", "tokens", "usable", "dtype")


def kv_calculator(models, gpus, *, model=None, gpu=None, tokens=4096, dtype="bfloat16", usable=90):
    """Choose a model and a GPU, move the sliders, and see at once how many requests fit beside the weights.

    models: list of dicts {"name", "attention" (such as "GQA"), "weight_bytes", "kv_bytes_per_token": {dtype: bytes},
        "context" (most tokens of a request), "source"}; gpus: list of dicts {"name", "bytes", "source"}.
    model, gpu: the names shown first; None: the first of each. tokens: per request. dtype: of the numbers in the cache.
    usable: per cent of the GPU's memory for weights and cache, as vLLM's `gpu_memory_utilization`.
    `selected` holds these settings: {"model", "gpu", "tokens", "usable", "dtype"}. Set some of them, and the others
    stay. Raises ParameterError for anything that does not fit together.
    """
    settings = {"model": model, "gpu": gpu, "tokens": tokens, "usable": usable, "dtype": dtype}
    view = KVCalculator(calculator_data(models, gpus, settings))
    view.selected = view.data["settings"]
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
                f"selected = {selected!r} are no settings of the calculator. "
                f"Give a dict with some of {', '.join(SETTINGS)}."
            )
        new = {**(getattr(self, "selected", None) or self.data["settings"]), **selected}
        return checked(self.data, new)

    def words(self, step=None):
        self._at(step)
        return "".join(text for _, text in say(self.data, self.settings))

    def _rows(self, step):
        return [table_row(self.data, self.settings, model) for model in self.data["models"]]

    def _paint(self, step):
        from .still import paint

        return paint(self.data, self.settings)

    def __repr__(self):
        now, requests = self.settings, count(self.requests, "request")
        return f"<{self.noun}: {now['model']} on {now['gpu']}, {requests} of {count(now['tokens'], 'token')}>"
