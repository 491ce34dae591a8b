"""Products of few rows cut into parts: where they are used, and that they give what nn.Linear gives."""

import pytest
import torch
from torch import nn

from course_lib.models import ModelConfig, Transformer
from course_lib.models.few_rows import MOST_ROWS, FewRowsLinear, gains, with_fast_few_rows


def by_columns(weight):
    return weight.t().contiguous().t()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 2, 7, MOST_ROWS, MOST_ROWS + 1])
def test_the_product_is_that_of_nn_linear_for_any_number_of_rows(bias, rows):
    torch.manual_seed(rows)
    plain, fast = nn.Linear(900, 150, bias=bias), FewRowsLinear(900, 150, bias=bias)
    fast.load_state_dict(plain.state_dict())
    fast.weight.data = by_columns(fast.weight.data)
    x = torch.randn(rows, 1800)[:, ::2]
    for dtype, limit in ((torch.float32, 1e-5), (torch.float64, 1e-5), (torch.bfloat16, 0.1)):
        weights = {name: weight.to(dtype).double() for name, weight in plain.named_parameters()}
        out, given = fast.to(dtype)(x.to(dtype)), x.to(dtype).double()
        exact = given @ weights["weight"].T + weights.get("bias", 0)
        assert out.shape == (rows, 150) and out.dtype == dtype
        assert torch.allclose(out.double(), exact, rtol=0, atol=limit)


def test_a_machine_with_more_cores_adds_in_the_same_order():
    torch.manual_seed(0)
    fast, x, before = FewRowsLinear(768, 700, bias=False), torch.randn(3, 768), torch.get_num_threads()
    fast.weight.data = by_columns(fast.weight.data)
    try:
        outs = [torch.set_num_threads(threads) or fast(x) for threads in (1, 2, 3)]
    finally:
        torch.set_num_threads(before)
    assert torch.equal(outs[0], outs[1]) and torch.equal(outs[0], outs[2])


def test_a_weight_whose_columns_cannot_be_cut_into_equal_parts_is_left_alone():
    assert gains(by_columns(torch.zeros(400, 700))) and not gains(by_columns(torch.zeros(400, 702)))


def test_large_weights_stored_by_columns_gain_and_stay_where_they_are():
    torch.manual_seed(0)
    shape = dict(vocab_size=400, hidden_size=768, intermediate_size=96, num_layers=2, num_heads=12, num_kv_heads=2)
    model = Transformer(ModelConfig(**shape, head_dim=16, context=32, attention_bias=True)).eval().requires_grad_(False)
    layer, names = model.model.layers[0], list(model.state_dict())
    for linear in (layer.self_attn.q_proj, layer.mlp.gate_proj, model.lm_head):
        linear.weight.data = by_columns(linear.weight.data)
    before = {name: weight.data_ptr() for name, weight in model.named_parameters()}
    assert with_fast_few_rows(model) is model
    fast = {name for name, part in model.named_modules() if isinstance(part, FewRowsLinear)}
    assert fast == {"lm_head", "model.layers.0.self_attn.q_proj"}  # gate_proj is small, the others are stored by rows
    assert before == {name: weight.data_ptr() for name, weight in model.named_parameters()}
    assert list(model.state_dict()) == names and not any(part.training for part in model.modules())
