"""Products of one row as matrix times vector: where they are used, and that they give what nn.Linear gives."""

import pytest
import torch
from torch import nn

from course_lib.models import ModelConfig, Transformer
from course_lib.models.one_row import OneRowLinear, with_fast_single_rows


def transformer(**shape):
    torch.manual_seed(0)
    usual = dict(vocab_size=40, hidden_size=768, intermediate_size=96, num_layers=2, num_heads=4, num_kv_heads=2)
    return Transformer(ModelConfig(**usual | dict(head_dim=16, context=32) | shape)).eval().requires_grad_(False)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [1, 2, 7])
def test_the_product_is_that_of_nn_linear_for_any_number_of_rows(bias, rows):
    torch.manual_seed(rows)
    plain, fast = nn.Linear(900, 5, bias=bias), OneRowLinear(900, 5, bias=bias)
    fast.load_state_dict(plain.state_dict())
    x = torch.randn(rows, 900)
    for dtype, limit in ((torch.float32, 1e-5), (torch.float64, 1e-5), (torch.bfloat16, 0.1)):
        weights = {name: weight.to(dtype).double() for name, weight in plain.named_parameters()}
        out, given = fast.to(dtype)(x.to(dtype)), x.to(dtype).double()
        exact = given @ weights["weight"].T + weights.get("bias", 0)
        assert out.shape == (rows, 5) and out.dtype == dtype
        assert torch.allclose(out.double(), exact, rtol=0, atol=limit)


def test_only_long_contiguous_rows_gain_and_the_weights_stay_where_they_are():
    model = transformer(attention_bias=True)
    layer, names = model.model.layers[0], list(model.state_dict())
    layer.mlp.gate_proj.weight.data = layer.mlp.gate_proj.weight.data.t().contiguous().t()  # as short rows are loaded
    before = {name: weight.data_ptr() for name, weight in model.named_parameters()}
    assert with_fast_single_rows(model) is model
    kinds = {name: type(part) for name, part in layer.named_modules() if name.endswith("_proj")}
    assert {name.split(".")[1] for name, kind in kinds.items() if kind is OneRowLinear} == {
        "q_proj", "k_proj", "v_proj", "up_proj",
    }  # fmt: skip
    assert before == {name: weight.data_ptr() for name, weight in model.named_parameters()}
    assert list(model.state_dict()) == names and not any(part.training for part in model.modules())
    small = with_fast_single_rows(transformer(hidden_size=64))
    assert not any(isinstance(part, OneRowLinear) for part in small.modules())
