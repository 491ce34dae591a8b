"""Kernels of lesson 07 with one mistake: the solutions with a part of their source replaced."""

from course_lib.practice.judge import registry
from course_lib.source.extract import revive


def slip(kernel, launcher, *changes, lesson="07"):
    """The solution of an exercise with parts of its source replaced. changes: (old, new), … Needs Triton."""

    def answer(*args):
        if not made:
            exercises = registry.exercises().values()
            [exercise] = [one for one in exercises if one.lesson == lesson and one.name == launcher]
            source = "import torch\nimport triton\nimport triton.language as tl\n\n\n" + registry.solution_of(exercise)
            for old, new in changes:
                assert source.count(old) >= 1, f"{old!r} is not in the solution any more"
                source = source.replace(old, new)
            made.append(revive(source, launcher, f"{launcher} {changes}"))
        return made[0](*args)

    made = []
    answer.__name__ = f"{launcher}_with_{'_'.join(new or 'nothing' for _, new in changes)}"[:60]
    return answer


KERNELS = {
    "07.row_softmax": [
        ("after the end have a weight", slip("softmax_kernel", "row_softmax", ('other=-float("inf")', "other=0.0"))),
        ("outside of its tensor", slip("softmax_kernel", "row_softmax", (', mask=inside, other=-float("inf")', ""))),
        ("assumed to be contiguous", slip("softmax_kernel", "row_softmax", ("x.stride(0), x.stride(1)", "columns, 1"))),
        (
            "block ends before",
            slip("softmax_kernel", "row_softmax", ("BLOCK=triton.next_power_of_2(columns)", "BLOCK=8")),
        ),
        (
            "not a power of two",
            slip("softmax_kernel", "row_softmax", ("BLOCK=triton.next_power_of_2(columns)", "BLOCK=columns")),
        ),
        ("takes the first row", slip("softmax_kernel", "row_softmax", ("tl.program_id(0)", "tl.program_id(1)"))),
        (
            "parts of the computation are in float16",
            slip(
                "softmax_kernel",
                "row_softmax",
                ("out = weights /", "out = weights.to(out_ptr.dtype.element_ty) /"),
                ("1.0, l_i)\n", "1.0, l_i).to(out_ptr.dtype.element_ty)\n"),
            ),
        ),
    ],
    "07.flash_kernel": [
        ("accumulator is not rescaled", slip("flash_kernel", "flash", ("acc * alpha[:, None] +", "acc +"))),
        (
            "padded and not masked",
            slip("flash_kernel", "flash", ('scores = tl.where((columns < m)[None, :], scores, -float("inf"))', "pass")),
        ),
        (
            None,
            slip(
                "flash_kernel",
                "flash",
                ('m_i = tl.full([TILE], -float("inf"), tl.float32)', "m_i = tl.zeros([TILE], tl.float32)"),
            ),
        ),
        ("head is missing", slip("flash_kernel", "flash", ("head * HEAD_DIM + tl", "tl"))),
        (
            "causal mask is left in",
            slip("flash_kernel", "flash", ("(columns < m)[None, :],", "(columns[None, :] <= rows[:, None]),")),
        ),
        ("stride between heads is 1", slip("flash_kernel", "flash", ("head * HEAD_DIM + tl", "head + tl"))),
        ("used as the number of keys", slip("flash_kernel", "flash", ("range(0, m, TILE)", "range(0, n, TILE)"))),
        ("used as the number of keys", slip("flash_kernel", "flash", ("(columns < m)", "(columns < n)"))),
        (
            "sums are in float16",
            slip(
                "flash_kernel",
                "flash",
                ("tl.zeros([TILE, HEAD_DIM], tl.float32)", "tl.zeros([TILE, HEAD_DIM], q_ptr.dtype.element_ty)"),
                ("acc = acc * alpha[:, None] + tl.dot(", "acc = (acc * alpha[:, None] + tl.dot("),
                ('v, input_precision="ieee")', 'v, input_precision="ieee")).to(q_ptr.dtype.element_ty)'),
            ),
        ),
        ("that of one head", slip("flash_kernel", "flash", ("len(k), heads * head_dim", "len(k), head_dim"))),
        (
            "divided in every turn",
            slip("flash_kernel", "flash", ("        m_i = new_m\n", "        m_i, acc = new_m, acc / l_i[:, None]\n")),
        ),
        (
            "divided in every turn",
            slip(
                "flash_kernel",
                "flash",
                ("        m_i = new_m\n", "        m_i, acc = new_m, acc / l_i[:, None]\n"),
                ("out = acc / l_i[:, None]", "out = acc"),
            ),
        ),
        (
            "tile of keys is left out",
            slip("flash_kernel", "flash", ("range(0, m, TILE)", "range(0, m // TILE * TILE, TILE)")),
        ),
        ("last tile of keys counts", slip("flash_kernel", "flash", ("        m_i = new_m\n", ""))),
        ("scaled wrongly", slip("flash_kernel", "flash", ('"ieee") * scale', '"ieee") / scale'))),
        (
            "first head is written",
            slip("flash_kernel", "flash", ("heads, triton.cdiv(n, tile)", "triton.cdiv(n, tile), heads")),
        ),
    ],
    "07.causal_skip": [
        (
            "tile of keys is left out",
            slip("causal_kernel", "flash_causal", ("range(0, end, TILE)", "range(0, end // TILE * TILE, TILE)")),
        ),
        ("ends too early", slip("causal_kernel", "flash_causal", ("m - n + first + TILE)", "m - n + first + 1)"))),
        (
            "above the diagonal are loaded",
            slip("causal_kernel", "flash_causal", ("end = tl.minimum(m, m - n + first + TILE)", "end = m")),
        ),
        (
            "ends too early",
            slip("causal_kernel", "flash_causal", ("tl.minimum(m, m - n + first + TILE)", "first + TILE")),
        ),
        ("n and m are exchanged", slip("causal_kernel", "flash_causal", ("positions = m - n", "positions = n - m"))),
        (
            "sees the next token",
            slip("causal_kernel", "flash_causal", ("<= positions[:, None]", "<= positions[:, None] + 1")),
        ),
        ("mask is inverted", slip("causal_kernel", "flash_causal", ("<= positions[:, None]", ">= positions[:, None]"))),
        (
            "0, not -inf",
            slip(
                "causal_kernel",
                "flash_causal",
                ('tl.where(seen, scores, -float("inf"))', "tl.where(seen, scores, 0.0)"),
            ),
        ),
        (
            "large negative number",
            slip(
                "causal_kernel",
                "flash_causal",
                ('tl.where(seen, scores, -float("inf"))', "tl.where(seen, scores, -1e9)"),
            ),
        ),
        (
            "within the tile",
            slip(
                "causal_kernel", "flash_causal", ("positions = m - n + rows", "positions = m - n + tl.arange(0, TILE)")
            ),
        ),
        (
            "first head is written",
            slip("causal_kernel", "flash_causal", ("heads, triton.cdiv(n, tile)", "triton.cdiv(n, tile), heads")),
        ),
    ],
    "07.grouped_query": [
        (
            "wrong KV head",
            slip(
                "grouped_kernel",
                "flash_grouped",
                ("head // GROUP * k_head", "head * k_head"),
                ("head // GROUP * v_head", "head * v_head"),
            ),
        ),
        (
            "strides of another",
            slip("grouped_kernel", "flash_grouped", ("v.stride(0), v.stride(1)", "q.stride(0), q.stride(1)")),
        ),
        (
            "strides of another",
            slip("grouped_kernel", "flash_grouped", ("v.stride(0), v.stride(1)", "k.stride(0), k.stride(1)")),
        ),
        (
            "wrong KV head",
            slip(
                "grouped_kernel",
                "flash_grouped",
                ("head // GROUP * k_head", "head % GROUP * k_head"),
                ("head // GROUP * v_head", "head % GROUP * v_head"),
            ),
        ),
        ("wrong KV head", slip("grouped_kernel", "flash_grouped", ("GROUP=heads // k.shape[1]", "GROUP=k.shape[1]"))),
        (
            "first head is written",
            slip("grouped_kernel", "flash_grouped", ("heads, triton.cdiv(n, tile)", "triton.cdiv(n, tile), heads")),
        ),
        (
            "ends too early",
            slip(
                "grouped_kernel",
                "flash_grouped",
                ("tl.minimum(m, m - n + first + TILE)", "tl.minimum(m, first + TILE)"),
            ),
        ),
    ],
}
