"""What a call runs, by torch.profiler: operations in order, marked pieces as one, and what each is for."""

import pytest
import torch

from course_lib.decoding.step_kernels import group_of, kernels_of, marked


def test_operations_come_in_order_and_the_outermost_counts():
    x, weight = torch.randn(3, 8), torch.randn(8, 8)

    def call():
        return torch.nn.functional.linear(x, weight).mul(2).sum()

    found = kernels_of(call)
    assert [(name, group) for name, group, _, _ in found] == [("linear", "weights"), ("mul", "small"), ("sum", "other")]
    starts = [start for _, _, start, _ in found]
    assert starts[0] == 0 and starts == sorted(starts) and all(us >= 0 for *_, us in found)


def test_a_marked_function_is_one_piece_and_returns_what_it_did():
    def three(x):
        return (x + 1) * 2 - x

    attend = marked("attend", three)
    assert torch.equal(attend(torch.ones(2)), torch.full((2,), 3.0))
    assert [(name, group) for name, group, _, _ in kernels_of(lambda: attend(torch.ones(2)))] == [
        ("ones", "other"),
        ("attend", "attention"),
    ]


@pytest.mark.parametrize(
    "name, group",
    [
        ("few_rows_kernel", "weights"),
        ("nvjet_sm90_tst_64x8_64x16_4x1_v_bz_TNT", "weights"),
        ("splitKreduce_kernel", "weights"),
        ("mm", "weights"),
        ("addmm", "weights"),
        ("decode_kernel", "attention"),
        ("store_kernel", "attention"),
        ("rotary_store_kernel", "small"),
        ("add_rms_norm_kernel", "small"),
        ("mul", "small"),
        ("vectorized_elementwise_kernel", "small"),
        ("index_elementwise_kernel", "other"),
        ("pick_kernel", "choice"),
        ("Memcpy HtoD", "other"),
    ],
)
def test_what_a_kernel_is_for(name, group):
    assert group_of(name) == group
