"""The fused model against the plain one, on a CPU with the torch twins; interpreted kernels against their twins."""

from types import SimpleNamespace

import pytest
import torch

from course_lib.kvcache import KVPool, PagedCache
from course_lib.kvcache.block_table import BlockTable
from course_lib.models import ModelConfig, Transformer
from course_lib.models.fused import FusedTransformer
from course_lib.models.kernels import twins

SHAPES = [
    dict(num_heads=4, num_kv_heads=2, head_dim=6),
    dict(num_heads=3, num_kv_heads=1, head_dim=8, qk_norm=True),
    dict(num_heads=2, num_kv_heads=2, head_dim=12, attention_bias=True, tie_embeddings=True),
]


def random_model(**shape):
    torch.manual_seed(1)
    config = ModelConfig(vocab_size=37, hidden_size=24, intermediate_size=20, num_layers=3, context=64, **shape)
    model = Transformer(config).eval().requires_grad_(False)
    for weight in model.parameters():
        weight.normal_(std=0.3)
    return model


@pytest.mark.parametrize("shape", SHAPES, ids=["grouped", "qk_norm", "bias"])
@pytest.mark.parametrize("counts", [[5, 1, 9], [1, 1, 1], [1]], ids=["mixed", "decode", "alone"])
def test_the_fused_model_gives_the_logits_of_the_plain_one_and_the_plain_one_still_works(shape, counts):
    model = random_model(**shape)
    logits = []
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    for run in (model, FusedTransformer(model, twins, few=1, some=3), model):
        cache = PagedCache(KVPool(model.config, 12, 4, "cpu", torch.float32))
        tables = [BlockTable(cache.allocator) for _ in counts]
        for step in range(2):  # a second step reads what the first has kept
            for table, n in zip(tables, counts):
                table.append_slots(n)
            positions = cache.begin_step(tables, counts)
            ids = (positions * 7 + step) % 37
            last = torch.tensor(counts).cumsum(0) - 1
            out = run(ids, positions, cache, logits_for=last)
        logits.append(out.float())
    assert torch.allclose(logits[1], logits[0], atol=1e-5) and torch.equal(logits[2], logits[0])
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_no_second_copy_of_the_weights_stays():
    model = random_model(**SHAPES[1])
    fused = FusedTransformer(model, twins)
    for layer, mine in zip(model.model.layers, fused.layers):
        for part, weight in [(mine.qkv, layer.self_attn.k_proj.weight), (mine.gate_up, layer.mlp.up_proj.weight)]:
            assert part.untyped_storage().data_ptr() == weight.untyped_storage().data_ptr()


# --- kernels against twins ---

triton = pytest.importorskip("triton", reason="Triton has packages for Linux only")


def kernels():
    from course_lib.models.kernels.norm import add_rms_norm, swiglu
    from course_lib.models.kernels.products import few_rows, some_rows
    from course_lib.models.kernels.rotary import rotary_store

    return SimpleNamespace(
        add_rms_norm=add_rms_norm, swiglu=swiglu, few_rows=few_rows, some_rows=some_rows, rotary_store=rotary_store
    )


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def both(function, *tensors, **options):
    """What the kernel and the twin return and leave in their arguments, for random tensors."""
    results = []
    for home in (kernels(), twins):
        given = [t.clone() if isinstance(t, torch.Tensor) else t for t in tensors]
        named = {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in options.items()}
        out = getattr(home, function)(*given, **named)
        results.append([out, *(t for t in (*given, *named.values()) if isinstance(t, torch.Tensor))])
    return zip(*results)


def assert_same(pairs, limit=2e-6):
    for mine, twin in pairs:
        error = (mine.double() - twin.double()).norm() / (twin.double().norm() + 1e-12)
        assert error < limit and mine.isfinite().all(), error


def randn(*shape):
    return torch.randn(shape, device=DEVICE)


@pytest.mark.parametrize("tokens, size", [(1, 64), (3, 24), (5, 100)])
def test_norm_and_swiglu(tokens, size):
    torch.manual_seed(tokens)
    assert_same(both("add_rms_norm", randn(tokens, size), randn(tokens, size), randn(size), 1e-6))
    assert_same(both("add_rms_norm", randn(tokens, size), None, randn(size), 1e-6))
    assert_same(both("swiglu", randn(tokens, 2 * size)))


@pytest.mark.parametrize("rows, k, n", [(1, 64, 7), (2, 24, 32), (5, 100, 40), (16, 33, 9)])
def test_products_of_a_few_rows(rows, k, n):
    torch.manual_seed(rows)
    x, w, w2, norm = randn(rows, k), randn(n, k), randn(2 * n, k), randn(k)
    assert_same(both("few_rows", x, w))
    assert_same(both("few_rows", x, w, bias=randn(n), norm=norm, eps=1e-6))
    assert_same(both("few_rows", x, w2, norm=norm, eps=1e-6, gated=True))
    assert_same(both("few_rows", x, w, bias=randn(n), residual=randn(rows, n)))


@pytest.mark.parametrize("rows, k, n", [(1, 64, 7), (5, 100, 40), (16, 300, 9)])
@pytest.mark.parametrize("tile", [(8, 64), (16, 2048)], ids=["pieces", "whole"])
def test_products_of_some_rows(rows, k, n, tile):
    torch.manual_seed(rows)
    x, w, w2, norm = randn(rows, k), randn(n, k), randn(2 * n, k), randn(k)
    assert_same(both("some_rows", x, w, tile=tile))
    assert_same(both("some_rows", x, w, bias=randn(n), norm=norm, eps=1e-6, tile=tile))
    assert_same(both("some_rows", x, w2, norm=norm, eps=1e-6, gated=True, tile=tile))
    assert_same(both("some_rows", x, w, bias=randn(n), residual=randn(rows, n), tile=tile))


@pytest.mark.parametrize("heads, kv_heads, dim", [(4, 2, 6), (3, 1, 16), (4, 4, 12)])
@pytest.mark.parametrize("normed", [False, True])
def test_rotation_and_store(heads, kv_heads, dim, normed):
    """Padding (slot -1) writes nothing, in either cache."""
    torch.manual_seed(heads)
    positions, slots = (torch.tensor(x, device=DEVICE) for x in ([0, 3, 9, 2, 1], [4, -1, 0, 7, 11]))
    caches = [randn(4, 4, kv_heads, dim) for _ in "kv"]
    weights = dict(q_weight=randn(dim), k_weight=randn(dim), eps=1e-6) if normed else {}
    angles = randn(20, dim // 2)
    qkv = randn(5, (heads + 2 * kv_heads) * dim)
    pairs = list(both("rotary_store", qkv, positions, slots, angles.cos(), angles.sin(), *caches, **weights))
    del pairs[1]  # of qkv only the queries are promised, and those are returned
    assert_same(pairs)
    untouched = [s for s in range(16) if s not in (4, 0, 7, 11)]
    kept = pairs[5][0].flatten(0, 1)
    assert torch.equal(kept[untouched], caches[0].flatten(0, 1)[untouched])
