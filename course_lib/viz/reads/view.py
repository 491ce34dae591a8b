"""Which program of paged decode reads which block: programs and block tables beside physical memory."""

from course_lib.viz.kit.base import View
from course_lib.viz.kit.inputs import index_or_none

from .model import reads_data, table_rows


def block_reads_view(**reads):
    """Left the programs (sequence by KV head by part) with the block tables they follow, right the physical blocks.

    reads: what `course_lib.attention.block_reads` returns, as keywords: num_blocks, block_size, kv_heads, heads (of
    queries), parts (of each sequence; with across="head" the query heads of a KV head, which have a program each),
    seq_lens and tables (of each sequence), and programs in the order in which they ran: dicts of the kind "decode"
    (seq, kv_head, part, `reads` as [block, KV head, first slot, end], bytes) or "merge" (seq, head, parts, bytes), each
    with its ids as `program`. `selected` is a block (int) or None. Raises ParameterError for what does not fit
    together.
    """
    return BlockReadsView(reads_data(reads))


class BlockReadsView(View):
    """See `block_reads_view`."""

    name = "reads"
    noun = "view of block reads"

    def check_selected(self, selected):
        return index_or_none(selected, self.data["num_blocks"], "block")

    def _rows(self, step):
        return table_rows(self.data, step)

    def _poster(self):
        reading = [at for at, one in enumerate(self.data["programs"], 1) if one["kind"] == "decode" and one["reads"]]
        return reading[round(0.7 * (len(reading) - 1))] if reading else 1

    def _paint(self, step):
        from .still import paint

        return paint(self.data, step)
