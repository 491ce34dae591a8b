"""The same weights under the names of other programs load; where they cannot, the message shows both sides."""

import json

import pytest
import torch
from checkpoints import reference, save
from safetensors.torch import load_file, save_file

from course_lib.errors import ModelError
from course_lib.kvcache import Recompute
from course_lib.models import load_model

RENAMED = {
    "torch.compile": "_orig_mod.{}".format,
    "a compiled body": lambda name: name.replace("model.", "model._orig_mod."),
    "DDP": "module.{}".format,
    "DDP of a compiled model": "module._orig_mod.{}".format,
    "layers compiled one by one": lambda name: name.replace(".self_attn", "._orig_mod.self_attn"),
    "the body alone": lambda name: name.removeprefix("model."),
    "a part of another model": lambda name: "language_model." + name,
}


@pytest.fixture(scope="module", params=["llama2", "llama2 tied"])
def good(request, tmp_path_factory):
    return save(reference(request.param), tmp_path_factory.mktemp("good"))


def renamed(good, folder, rename):
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / file).write_bytes((good / file).read_bytes())
    weights = load_file(good / "model.safetensors")
    save_file({rename(name): weight for name, weight in weights.items()}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("how", RENAMED)
def test_weights_under_another_prefix_are_the_same_model(good, tmp_path, how):
    ids = torch.arange(20)
    one, other = (
        load_model(folder, device="cpu")[0](ids, ids, Recompute())
        for folder in (good, renamed(good, tmp_path, RENAMED[how]))
    )
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    "rename, words",
    [
        (lambda name: name.replace("layers", "blocks"), r"missing.*model\.layers.*hold \d+ tensors: .*model\.blocks"),
        (lambda name: name.replace("mlp", "feed_forward"), r"missing.*mlp.*hold \d+ tensors"),
        (lambda name: "other" + name if "norm" not in name else name, r"missing.*hold.*other"),
    ],
)
def test_where_the_names_do_not_fit_both_sides_are_shown(good, tmp_path, rename, words):
    with pytest.raises(ModelError, match=words):
        load_model(renamed(good, tmp_path, rename), device="cpu")


def test_a_tensor_under_two_prefixes_is_refused(good, tmp_path):
    folder = renamed(good, tmp_path, "{}".format)
    weights = load_file(folder / "model.safetensors")
    save_file(
        {**weights, "_orig_mod.model.norm.weight": weights["model.norm.weight"].clone()}, folder / "model.safetensors"
    )
    with pytest.raises(ModelError, match=r"model\.norm\.weight twice"):
        load_model(folder, device="cpu")


def test_a_config_without_architectures_loads(good, tmp_path):
    folder = renamed(good, tmp_path, RENAMED["the body alone"])
    config = json.loads((folder / "config.json").read_text())
    for names in (None, ["LlamaModel"]):
        (folder / "config.json").write_text(json.dumps({**config, "architectures": names}))
        assert load_model(folder, device="cpu")[0].config.family == "llama"
