"""The cache, filling: prefill in one stroke, then a column a step; beside it what naive decoding would compute."""

from course_lib.errors import ParameterError
from course_lib.viz.kit.base import View

from .model import filling_data, kept_by, stretches


def cache_filling(tokens, steps, *, num_layers, num_heads, num_kv_heads, head_dim, bytes_per_number):
    """A row for each layer and KV head, a column a token: what the cache holds after each step, and what the step cost.

    tokens: list[str], the text of every position, prompt first.
    steps: list of dicts, one a pass through the model: "first" and "count" (the positions computed, first to
        first + count - 1), "kept" (per layer, how many columns the cache holds after the step) and "naive_tokens" (how
        many tokens decoding without a cache would compute in this step). Record them from any cache, also a faulty one.
    num_layers, num_heads, num_kv_heads, head_dim: the model's shape. bytes_per_number: 4 for float32, 2 for bfloat16.
    `selected` is [layer, KV head, position] or None. Raises ParameterError for anything that does not fit together.
    """
    shape = num_layers, num_heads, num_kv_heads, head_dim, bytes_per_number
    return CacheFilling(filling_data(tokens, steps, *shape))


class CacheFilling(View):
    """See `cache_filling`."""

    name = "filling"
    noun = "filling cache"

    def check_selected(self, selected):
        sizes = self.data["layers"], self.data["kv_heads"], len(self.data["tokens"])
        if selected is None:
            return None
        cell = list(selected) if isinstance(selected, (list, tuple)) else []
        if len(cell) == 3 and all(type(at) is int and 0 <= at < size for at, size in zip(cell, sizes)):
            return cell
        raise ParameterError(
            f"selected = {selected!r} is no cell of the cache. Give [layer, KV head, position], below {list(sizes)}, "
            f"or None."
        )

    def _poster(self):
        return self.last

    def _rows(self, step):
        data, at = self.data, step - 1
        rows = []
        for layer in range(data["layers"]):
            written = sum(b - a for a, b, state in stretches(data, at, layer) if state in ("new", "again"))
            kept = kept_by(data, at, layer)
            rows.append([layer, kept, data["due"][at], written, kept * data["column_bytes"]])
        sums = [sum(row[i] for row in rows) for i in range(1, 5)]
        return [*rows, ["all", *sums]]

    def _paint(self, step):
        from .still import paint

        return paint(self.data, step)
