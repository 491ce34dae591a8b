"""Wrong kernels for 14.paged_decode_int8: the solution with one mistake. Imports Triton."""

from written_slips import slip

CHANGES = [
    ("scales of slots without a token", ("at, mask=filled, other=0.0)", "at)")),
    (
        "in another layout",
        (
            "(block * NUM_KV_HEADS + kv_head) * BLOCK_SIZE + offsets  #",
            "(block * BLOCK_SIZE + offsets) * NUM_KV_HEADS + kv_head  #",
        ),
    ),
    (
        "scales of the values are in the sum",
        ("l_i * alpha + tl.sum(weights, 1)", "l_i * alpha + tl.sum(weights * v_scale[None, :], 1)"),
    ),
    ("lanes is not a power of two", ("ROWS=triton.next_power_of_2(group)", "ROWS=group")),
    ("as long as the longest sequence needs", ("block_tables.stride(0)", "-(-int(seq_lens.max()) // block_size)")),
]
CASES = [(name, slip("int8_decode_kernel", "paged_decode_int8", change, lesson="14")) for name, change in CHANGES]
