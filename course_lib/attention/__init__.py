"""Attention: the reference in plain torch, and the Triton kernels with their torch twins.

Names arrive on first use: importing this package loads neither torch nor Triton.
"""

from course_lib.lazy import lazily

__all__, __getattr__, __dir__ = lazily(
    __name__,
    {
        "reference.forward": "standard_attention chunked_attention flash_attention_v1 flash_attention_v2 "
        "merge_partials",
        "reference.backward": "flash_attention_backward recomputed_attention",
        "reference.masks": "Mask",
        "reference.meter": "Meter record_tiles",
        "recording.recorder": "record_accesses",
        "recording.decode_reads": "block_reads",
        "select": "flash_attention paged_decode paged_attention store_kv explain",
    },
)
