"""Loading, and each way in which a folder, a file or a name can be wrong."""

import pickle

import pytest
import torch
from checkpoints import edit_json, reference, save
from safetensors.torch import load_file, save_file

from course_lib.errors import ModelError, ParameterError
from course_lib.models import folder as model_folder
from course_lib.models import load_model
from course_lib.models.weights import taken_over


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A sound folder; tests copy it before they damage it."""
    return save(reference("llama3"), tmp_path_factory.mktemp("good"))


@pytest.fixture
def folder(good, tmp_path):
    for file in good.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


@pytest.fixture
def sharded(tmp_path):
    return save(reference("qwen2"), tmp_path, max_shard_size="60KB")


def load(folder, **options):
    return load_model(folder, device="cpu", **options)


def change_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


# --- what loads -------------------------------------------------------------------------------


def test_a_loaded_model_is_ready_to_use(good):
    model, tokenizer = load(good)
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    assert {p.device.type for p in model.parameters()} == {"cpu"}
    assert model.dtype == torch.float32
    assert tokenizer.encode("a")[0] == 1
    assert model.config.vocab_size == 97


def test_on_a_cpu_in_float32_every_matrix_is_contiguous_along_its_longer_side(good):
    stored, model = load_file(good / "model.safetensors"), load(good)[0]
    matrices = {name: p for name, p in model.named_parameters() if p.ndim == 2}
    assert {p.shape[0] > p.shape[1] for p in matrices.values()} == {True, False}
    for name, p in matrices.items():
        assert p.stride(0 if p.shape[0] > p.shape[1] else 1) == 1 and torch.equal(p, stored[name]), name
    other = load(good, dtype=torch.float16)[0]  # which a CPU multiplies many times more slowly the other way round
    assert all(p.is_contiguous() for p in other.parameters())


def test_on_a_cpu_in_float32_a_large_matrix_is_stored_column_after_column():
    for dtype in (torch.float32, torch.bfloat16):
        mapped, cpu = torch.randn(256, 600, dtype=dtype), torch.device("cpu")
        taken = taken_over(mapped, cpu, torch.float32)
        assert taken.stride() == (1, 256) and torch.equal(taken, mapped.float())
        assert taken_over(mapped, cpu, torch.bfloat16).is_contiguous()


def test_a_path_may_be_text_or_relative(good, monkeypatch):
    monkeypatch.chdir(good.parent)
    assert load(str(good))[0].config == load(good.name)[0].config


@pytest.mark.parametrize(
    "given, means",
    [("bfloat16", torch.bfloat16), (torch.float16, torch.float16), ("float64", torch.float64), (None, torch.float32)],
)
def test_the_dtype_is_the_one_asked_for(good, given, means):
    assert {p.dtype for p in load(good, dtype=given)[0].parameters()} == {means}


def test_the_model_does_not_change_with_its_file(folder):
    model, _ = load(folder)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    path = folder / "model.safetensors"
    with path.open("r+b") as file:
        file.write(b"\xff" * path.stat().st_size)
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())


def test_end_tokens_of_both_files_count(folder):
    (folder / "generation_config.json").write_text('{"eos_token_id": [2, 7, 9]}')
    assert load(folder)[0].config.eos_token_ids == (2, 7, 9)
    (folder / "generation_config.json").write_text('{"eos_token_id": 5}')
    assert load(folder)[0].config.eos_token_ids == (2, 5)


def test_the_tokenizer_s_end_token_counts_where_no_file_names_one(folder):
    (folder / "generation_config.json").unlink()
    edit_json(folder / "config.json", lambda raw: raw.update(eos_token_id=None))
    assert load(folder)[0].config.eos_token_ids == (2,)


def test_tables_that_everyone_computes_are_passed_over(folder):
    def add(weights):
        weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
        weights["model.rotary_emb.inv_freq"] = torch.ones(4)

    change_weights(folder, add)
    load(folder)


# --- what does not ----------------------------------------------------------------------------


def refused(words, folder, **options):
    with pytest.raises(ModelError, match=f"(?s){words}") as caught:
        load(folder, **options)
    # The learner sees our message, not a page of somebody else's traceback above it.
    assert caught.value.__cause__ is None and (caught.value.__suppress_context__ or caught.value.__context__ is None)
    return str(caught.value)


@pytest.mark.parametrize(
    "name, words",
    [
        ("tael", "no model 'tael'.*'tale' or 'tale-draft'.*mean 'tale'"),
        ("tale_draft", "mean 'tale-draft'"),
        ("Tale", "mean 'tale'"),
        ("zzz", "no model 'zzz'.*Check the spelling"),
        ("./not/here", "no model './not/here'"),
        ("/not/here", "no model '/not/here'"),
        ("a/b/c", "no model 'a/b/c'"),
        ("", "does not name a model"),
        (None, "NoneType|None does not name a model"),
        (["tale"], "does not name a model"),
    ],
)
def test_a_name_that_is_nothing(name, words):
    refused(words, name)


def test_a_file_is_not_a_folder(good):
    refused("is a file, but a model is a folder", good / "model.safetensors")


def test_no_config(folder):
    (folder / "config.json").unlink()
    refused("no config.json", folder)


@pytest.mark.parametrize("file", ["config.json", "generation_config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", [b'{"a": ', b"\xff\xfe\x00", b"[1]", b""])
def test_a_damaged_json_file_is_named(folder, file, content):
    (folder / file).write_bytes(content)
    refused(rf"{file}.*(not valid JSON|holds a list)", folder)


def test_an_unknown_architecture(folder):
    edit_json(folder / "config.json", lambda raw: raw.update(architectures=["MambaForCausalLM"]))
    refused("config.json.*architecture MambaForCausalLM.*LlamaForCausalLM", folder)


def test_a_missing_tensor_is_named_and_counted(folder):
    change_weights(folder, lambda w: w.pop("model.layers.1.mlp.up_proj.weight"))
    refused("1 of 30 tensors are missing.*layers.1.mlp.up_proj.weight", folder)
    change_weights(folder, lambda w: [w.pop(k) for k in list(w) if "layers.2." in k])
    refused("10 of 30 tensors .*and 7 more", folder)


def test_an_untied_model_needs_its_output_table(folder):
    change_weights(folder, lambda w: w.pop("lm_head.weight"))
    refused("1 of 30.*lm_head.weight", folder)


def test_an_unexpected_tensor_is_named(folder):
    change_weights(folder, lambda w: w.update({"model.layers.0.self_attn.q_proj.bias": torch.zeros(48)}))
    refused("1 tensor that .*q_proj.bias", folder)


def test_a_misshapen_tensor_is_named_with_both_shapes(folder):
    change_weights(folder, lambda w: w.update({"model.norm.weight": torch.zeros(47)}))
    refused(r"model.norm.weight.*shape \[47\].*asks for \[48\]", folder)


def test_integers_are_not_weights(folder):
    change_weights(folder, lambda w: w.update({"model.norm.weight": torch.ones(48, dtype=torch.int8)}))
    refused("model.norm.weight.*stored as I8.*quantised", folder)


def test_two_different_tables_are_not_one(folder):
    edit_json(folder / "config.json", lambda raw: raw.update(tie_word_embeddings=True))
    refused("tie_word_embeddings.*two different", folder)


@pytest.mark.parametrize("keep", [0, 5, 100, 4000, -1])
def test_a_file_cut_short(folder, keep):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refused("model.safetensors is damaged or was cut short", folder)


def test_a_git_lfs_pointer_is_recognised(folder):
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    refused("Git LFS pointer.*git lfs pull", folder)


def test_a_shard_is_missing(sharded):
    shards = sorted(sharded.glob("model-*.safetensors"))
    shards[1].unlink()
    refused(f"1 of the {len(shards)} shards.*{shards[1].name}", sharded)


def test_a_shard_cut_short_is_named(sharded):
    shard = sorted(sharded.glob("model-*.safetensors"))[0]
    shard.write_bytes(shard.read_bytes()[:-7])
    refused(f"{shard.name} is damaged", sharded)


@pytest.mark.parametrize("content", ["{}", '{"weight_map": {}}', '{"weight_map": []}'])
def test_an_index_without_shards(sharded, content):
    (sharded / "model.safetensors.index.json").write_text(content)
    refused('no "weight_map"', sharded)


def test_no_weights(folder):
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    refused("no model.safetensors.*only other.safetensors", folder)
    (folder / "other.safetensors").unlink()
    refused("no model.safetensors.*no weights", folder)


class Trap:
    """Unpickling this leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_is_never_opened(folder):
    (folder / "model.safetensors").unlink()
    sprung = folder / "sprung"
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(sprung)))
    refused("only as pickle.*pytorch_model.bin.*runs the code inside it.*save_pretrained", folder)
    assert not sprung.exists()
    pickle.loads((folder / "pytorch_model.bin").read_bytes()).close()
    assert sprung.exists(), "the trap must work, or this test shows nothing"


def test_no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()
    refused("no tokenizer.json", folder)


@pytest.mark.parametrize(
    "dtype", [torch.int8, torch.bool, "int8", "half a float", 16, torch.complex64, torch.float8_e4m3fn]
)
def test_a_dtype_that_holds_no_weights(good, dtype):
    with pytest.raises(ParameterError, match="dtype is .*Try one of torch.float32"):
        load(good, dtype=dtype)


def test_a_device_that_is_none(good):
    with pytest.raises(ParameterError, match="'quantum', which torch does not know"):
        load_model(good, device="quantum")


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks what happens where there is no GPU")
def test_a_gpu_that_is_not_there(good):
    with pytest.raises(ParameterError, match="sees no GPU"):
        load_model(good, device="cuda")
    assert load_model(good)[0].device.type == "cpu"


def test_a_bundled_model_that_was_not_installed(monkeypatch):
    monkeypatch.setitem(model_folder.BUNDLED, "tale", "not_here")
    refused("bundled model 'tale' is missing.*Install the course again", "tale")
