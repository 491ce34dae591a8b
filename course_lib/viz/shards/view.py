"""One layer on several GPUs: which part of each weight and of the KV cache a GPU holds, and what is sent when."""

from course_lib.viz.kit.base import View
from course_lib.viz.kit.inputs import index_or_none

from .model import shards_data


def layer_on_gpus(
    num_gpus, *, hidden_size, num_heads, num_kv_heads, head_dim, intermediate_size, num_tokens=1, bytes_per_number=2
):
    """Step by step through one layer, with a column for each GPU: its part of each weight, and what it has.

    num_gpus: 1 to 8; it divides num_heads and intermediate_size. The sizes are those of a ModelConfig. num_tokens: in
    the run. bytes_per_number: of the vectors that are sent, and of the cache. A weight is drawn as a box with its
    inputs from top to bottom and its outputs from left to right. `selected` is the number of a GPU, or None. Raises
    ParameterError for sizes that cannot be shared out evenly.
    """
    sizes = (num_gpus, hidden_size, num_heads, num_kv_heads, head_dim, intermediate_size, num_tokens, bytes_per_number)
    return LayerOnGPUs(shards_data(*sizes))


class LayerOnGPUs(View):
    """See `layer_on_gpus`."""

    name = "shards"
    noun = "layer on several GPUs"

    def check_selected(self, selected):
        return index_or_none(selected, len(self.data["gpus"]), "GPU")

    def _rows(self, step):
        return self.data["rows"][step - 1]

    def _poster(self):
        return 5  # the first all-reduce: all before it has been used, and something is sent

    def _paint(self, step):
        from .still import paint

        return paint(self.data, step, self.selected)
