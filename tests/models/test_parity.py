"""The same files, the same logits: transformers is the second opinion on every family."""

import json

import pytest
import torch
import transformers
from checkpoints import FAMILIES, edit_json, reference, save
from safetensors.torch import load_file, save_file

from course_lib.kvcache import Recompute
from course_lib.models import load_model
from course_lib.models.weights import read_config

LIMIT = 1e-4


def logits_of(model, ids, positions=None):
    with torch.inference_mode():
        return model(ids, torch.arange(len(ids)) if positions is None else positions, Recompute())


def logits_of_reference(model, ids, positions=None):
    positions = torch.arange(len(ids)) if positions is None else positions
    with torch.inference_mode():  # with a mask, as a jump in position would else start a new sequence
        return model(ids[None], position_ids=positions[None], attention_mask=torch.ones_like(ids)[None]).logits[0]


def tokens(count, seed=1):
    return torch.randint(0, 97, (count,), generator=torch.Generator().manual_seed(seed))


def assert_same(ours, theirs):
    # Logits close to zero, or all alike, would agree whatever the model computed.
    assert 2 < theirs.std() < 50
    assert theirs.std(0).min() > 0.5, "no logit may be the same at every position"
    assert ours.dtype == torch.float32
    assert (ours - theirs).abs().max() < LIMIT


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """(reference, folder) by family; written once."""
    done = {}

    def get(name):
        if name not in done:
            model = reference(name)
            done[name] = model, save(model, tmp_path_factory.mktemp("checkpoint"))
        return done[name]

    return get


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_agree_with_transformers(saved, name):
    theirs, folder = saved(name)
    ours, _ = load_model(folder, device="cpu", dtype=torch.float32)
    ids = tokens(min(190, ours.config.context))  # llama3: three times the original context of 64
    assert_same(logits_of(ours, ids), logits_of_reference(theirs, ids))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_config_as_transformers_4_wrote_it_means_the_same(saved, tmp_path, name):
    _, folder = saved(name)
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())

    def as_version_4(raw):
        rope = raw.pop("rope_parameters")
        raw["rope_theta"] = rope.pop("rope_theta")
        raw["rope_scaling"] = rope if rope["rope_type"] != "default" else None
        raw["torch_dtype"] = raw.pop("dtype")
        if raw["model_type"] != "qwen3":  # whose layer_types are not those of max_window_layers
            raw.pop("layer_types", None)

    edit_json(tmp_path / "config.json", as_version_4)
    assert read_config(tmp_path) == read_config(folder)


def test_a_config_by_the_oldest_names_loads_too(saved, tmp_path):
    theirs, folder = saved("llama3")
    config = json.loads((folder / "config.json").read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    rope["type"] = rope.pop("rope_type")
    (tmp_path / "config.json").write_text(json.dumps({**config, "rope_scaling": rope, "head_dim": None}))
    for file in ("model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    ours, _ = load_model(tmp_path, device="cpu")
    ids = tokens(150)
    assert_same(logits_of(ours, ids), logits_of_reference(theirs, ids))


@pytest.mark.parametrize("name", ["llama2", "llama3", "qwen3"])
def test_tokens_far_apart_agree(tmp_path, name):
    """Across 100,000 tokens the last bit of a rotary frequency shows: the reason for 1 / theta ** x."""
    theirs = reference(name, max_position_embeddings=131072, head_dim=128)
    ours, _ = load_model(save(theirs, tmp_path), device="cpu")
    ids, positions = tokens(40), torch.arange(40) * 3_300
    assert_same(logits_of(ours, ids, positions), logits_of_reference(theirs, ids, positions))


@pytest.mark.parametrize("name", ["llama2", "qwen2 tied", "qwen3"])
def test_sharded_and_single_files_hold_the_same_model(saved, tmp_path, name):
    theirs, folder = saved(name)
    save(theirs, tmp_path, max_shard_size="60KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2 and not (tmp_path / "model.safetensors").exists()
    one, many = load_model(folder, device="cpu")[0], load_model(tmp_path, device="cpu")[0]
    for (name, ours), (_, theirs) in zip(one.named_parameters(), many.named_parameters(), strict=True):
        assert torch.equal(ours, theirs), name


@pytest.mark.parametrize("name", ["mistral window", "qwen2 window", "qwen3 window"])
def test_the_window_of_a_layer_shows_beyond_it(saved, name):
    theirs, folder = saved(name)
    ours, _ = load_model(folder, device="cpu")
    assert ours.config.context == 512 and any(ours.config.windows)
    window, ids = theirs.config.sliding_window, tokens(60)
    with_window, want = logits_of(ours, ids), logits_of_reference(theirs, ids)
    for layer in ours.model.layers:
        layer.self_attn.window = None
    difference = (logits_of(ours, ids) - want).abs().max(-1).values
    assert_same(with_window, want)
    assert difference[:window].max() < LIMIT
    assert difference[window:].min() > 100 * LIMIT, "without it this is another model"


def test_logits_for_asks_for_rows(saved):
    _, folder = saved("llama3")
    ours, _ = load_model(folder, device="cpu")
    ids = tokens(21)
    with torch.inference_mode():
        some = ours(ids, torch.arange(21), Recompute(), logits_for=torch.tensor([20, 3]))
    assert torch.allclose(some, logits_of(ours, ids)[[20, 3]], atol=1e-5)


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16])
def test_half_size_files_compute_in_float32(tmp_path, stored):
    save(reference("qwen2").to(stored), tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    ours, _ = load_model(tmp_path, device="cpu")
    assert {w.dtype for w in load_file(tmp_path / "model.safetensors").values()} == {stored}
    assert {w.dtype for w in ours.parameters()} == {torch.float32}
    ids = tokens(50)
    assert_same(logits_of(ours, ids), logits_of_reference(theirs, ids))


def test_bfloat16_on_a_cpu_is_close_and_its_logits_are_float32(saved):
    theirs, folder = saved("llama2")
    ours, _ = load_model(folder, device="cpu", dtype="bfloat16")
    assert {w.dtype for w in ours.parameters()} == {torch.bfloat16}
    ids = tokens(50)
    out, want = logits_of(ours, ids), logits_of_reference(theirs, ids)
    assert out.dtype == torch.float32
    assert (out - want).norm() / want.norm() < 0.05


def test_a_tied_table_may_be_stored_under_either_name_or_both(saved, tmp_path):
    theirs, folder = saved("llama2 tied")
    ids = tokens(30)
    want = logits_of_reference(theirs, ids)
    weights = load_file(folder / "model.safetensors")
    table = weights.pop("model.embed_tokens.weight")
    for names in (["lm_head.weight"], ["lm_head.weight", "model.embed_tokens.weight"]):
        for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            (tmp_path / file).write_bytes((folder / file).read_bytes())
        save_file({**weights, **{n: table.clone() for n in names}}, tmp_path / "model.safetensors")
        ours, _ = load_model(tmp_path, device="cpu")
        assert ours.lm_head.weight is ours.model.embed_tokens.weight
        assert_same(logits_of(ours, ids), want)


def test_num_parameters_counts_what_transformers_counts(saved):
    for name in FAMILIES:
        theirs, folder = saved(name)
        ours, _ = load_model(folder, device="cpu")
        assert ours.config.num_parameters == sum(p.numel() for p in theirs.parameters()), name
