"""From the files of a Hugging Face folder to a Transformer that runs."""

import dataclasses
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from course_lib.errors import ModelError, ParameterError
from course_lib.machine.device import default_device, default_dtype

from .config import ModelConfig
from .few_rows import FEWEST_NUMBERS, with_fast_few_rows
from .folder import find_folder, read_json
from .names import as_in_transformer
from .tokenizer import load_tokenizer
from .transformer import Transformer
from .without_memory import without_memory

EMBEDDING, OUTPUT = "model.embed_tokens.weight", "lm_head.weight"
# Buffers that older checkpoints store and that are computed here.
_HARMLESS = re.compile(r".*rotary_emb\.(inv_freq|cos_cached|sin_cached)|.*\.masked_bias|.*self_attn\.bias")
_PICKLES = ("pytorch_model*.bin", "consolidated*.pt*", "*.pth")
READERS = 2  # threads that copy tensors out of a file
_FLOATS = {"F64", "F32", "F16", "BF16"}


@dataclasses.dataclass(frozen=True)
class Stored:
    """One tensor in a file, before its numbers are read."""

    file: Path
    name: str
    shape: list
    dtype: str


def load_model(name="tale", *, device=None, dtype=None):
    """A model and its tokenizer, ready to generate: (Transformer, Tokenizer).

    name: "tale" or "tale-draft" (bundled), a folder in Hugging Face format, or a hub id "owner/name".
    device: default the GPU where there is one, else the CPU.
    dtype: of the weights; default float32 on a CPU, bfloat16 on a GPU that has it, else float16.
    On a GPU, cuDNN's attention is switched off in torch: it needs about 50 ms to plan each new length of a sequence,
    and in decoding every step has a new length. `torch.backends.cuda.enable_cudnn_sdp(True)` switches it on again.
    Raises ModelError for a model that cannot be found, read or run, and ParameterError for a device or dtype that is
    not available.
    """
    folder, config, tokenizer, device, dtype = find_model(name, device, dtype)
    if device.type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)
    return load_transformer(folder, config, device, dtype), tokenizer


def find_model(name, device=None, dtype=None):
    """What load_model loads: (folder, ModelConfig, Tokenizer, torch.device, torch.dtype). No weights are read."""
    device = _device(device)
    dtype = _dtype(dtype, device)
    folder = find_folder(name)
    config = read_config(folder)
    tokenizer = load_tokenizer(folder)
    if not config.eos_token_ids and tokenizer.eos_token_id is not None:
        config = dataclasses.replace(config, eos_token_ids=(tokenizer.eos_token_id,))
    return folder, config, tokenizer, device, dtype


def read_config(folder):
    """The ModelConfig of a folder, with the end tokens of generation_config.json added: Llama 3 has several."""
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(
            f"{folder} has no config.json, so the shape of its model is unknown. Pass the folder that "
            "holds both config.json and the weights."
        )
    config = ModelConfig.from_hf(read_json(path), str(path))
    more = folder / "generation_config.json"
    ends = read_json(more).get("eos_token_id") if more.is_file() else None
    ends = ends if isinstance(ends, list) else [ends]
    all_ends = dict.fromkeys([*config.eos_token_ids, *(i for i in ends if i is not None)])  # in order, each once
    return dataclasses.replace(config, eos_token_ids=tuple(all_ends))


def load_transformer(folder, config, device, dtype):
    """The Transformer of a folder, in eval mode and without gradients.

    The model is built without memory (device "meta") and takes over a few tensors at a time, so that no more than these
    are in memory twice.
    """
    tensors = read_weights(folder, config, device, dtype)
    with without_memory():
        model = Transformer(config)
    model.load_state_dict(tensors, strict=False, assign=True)  # not strict: a tied lm_head has no entry
    if config.tie_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    return with_fast_few_rows(model.eval().requires_grad_(False))


def read_weights(folder, config, device, dtype, take=None):
    """{name of a parameter: tensor} of a folder. All names and shapes are checked before any weights are read.

    take: take(name, slice) returns the part that is wanted of a parameter; indexing the slice reads it. Default: all.
    """
    stored, expected = as_in_transformer(_stored_tensors(folder), folder), expected_shapes(config)
    _check(stored, expected, config, folder)
    tensors = {}

    def read(name):
        kept = stored[name].name
        found = opened.get_tensor(kept) if take is None else take(name, opened.get_slice(kept))
        return taken_over(found, device, dtype)

    with ThreadPoolExecutor(READERS) as pool:
        for file in sorted({stored[name].file for name in expected}):
            with safe_open(file, framework="pt") as opened:
                names = [name for name in expected if stored[name].file == file]
                tensors.update(zip(names, pool.map(read, names)))
    return tensors


def expected_shapes(config):
    """{name of a parameter: its shape}; a tied embedding appears once."""
    with without_memory():
        model = Transformer(config)
    return {name: list(weight.shape) for name, weight in model.named_parameters()}


def taken_over(mapped, device, dtype):
    """A copy of a tensor that is mapped to a file: without, it would change, or crash, when the file does.

    On a CPU in float32, a large matrix is stored column after column in the copy, as few_rows.py cuts it; of a small
    one the longer side is contiguous. A decode step reads all weights once and does little else, and the longer the
    contiguous rows, the better a CPU prefetches them (benchmarks/cpu_decode.py). All this is one pass over the file.
    """
    by_columns = mapped.ndim == 2 and (mapped.numel() >= FEWEST_NUMBERS or mapped.shape[0] > mapped.shape[1])
    if by_columns and device.type == "cpu" and dtype == torch.float32:
        if mapped.dtype == dtype:
            return mapped.t().contiguous().t()
        return mapped.to(dtype).t().contiguous().t()  # torch transposes fast, and converts fast, but not both at once
    return mapped.to(device, dtype, copy=True)


def _stored_tensors(folder):
    """{tensor name: Stored} for all weights of a folder."""
    stored = {}
    for file in _weight_files(folder):
        try:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():
                    part = opened.get_slice(name)
                    stored[name] = Stored(file, name, part.get_shape(), part.get_dtype())
        except (SafetensorError, OSError) as problem:
            if _starts_with(file, b"version https://git-lfs"):
                raise ModelError(
                    f"{file} is a Git LFS pointer: a text file instead of the weights. Run "
                    "`git lfs pull` in the folder."
                ) from None
            raise ModelError(f"{file} is damaged or was cut short ({problem}). Fetch or save the file again.") from None
    return stored


def _weight_files(folder):
    """The safetensors files of a folder: the single one, or the shards that its index names."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if index.is_file():
        shards = read_json(index).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise ModelError(f'{index} has no "weight_map", so its shards are unknown. Fetch the folder again.')
        files = [folder / str(name) for name in sorted(set(shards.values()))]
        missing = [f.name for f in files if not f.is_file()]
        if missing:
            raise ModelError(
                f"{len(missing)} of the {len(files)} shards that {index.name} names are missing in "
                f"{folder}: {_some(missing)}. Fetch them: the model needs all of its weights."
            )
        return files
    pickles = sorted(f.name for pattern in _PICKLES for f in folder.glob(pattern))
    if pickles:
        raise ModelError(
            f"{folder} holds its weights only as pickle ({_some(pickles)}), which is not opened here, because reading "
            "a pickle runs the code inside it. If you trust its source, convert it once: "
            "transformers.AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder), "
            "which writes model.safetensors."
        )
    other = sorted(f.name for f in folder.glob("*.safetensors"))
    raise ModelError(
        f"{folder} has no model.safetensors and no model.safetensors.index.json"
        + (f" (only {_some(other)})" if other else "")
        + ", so there are no weights to read. Fetch "
        "them, or choose a repository that offers safetensors."
    )


def _check(stored, expected, config, folder):
    """Raises ModelError for tensors that are missing, unexpected, of another shape or not plain floats.

    A file may hold a tied embedding under either name, or under both if they are equal. `stored` then has it under the
    name of the embedding.
    """
    if config.tie_embeddings and OUTPUT in stored:
        if EMBEDDING in stored and not _same(stored[EMBEDDING], stored[OUTPUT]):
            raise ModelError(
                f"config.json in {folder} says that {EMBEDDING} and {OUTPUT} are one table "
                "(tie_word_embeddings), but the file holds two different ones. Set "
                '"tie_word_embeddings" to false, or fetch the folder again.'
            )
        output = stored.pop(OUTPUT)
        stored.setdefault(EMBEDDING, output)
    missing = [name for name in expected if name not in stored]
    if missing:
        raise ModelError(
            f"{len(missing)} of {len(expected)} tensors are missing in {folder}: {_some(missing)}. The files hold "
            f"{_count(stored, 'tensor')}: {_some([kept.name for kept in stored.values()]) or 'none'}. If these are the "
            "same under other names, rename them; else the weights belong to another config.json, or a download "
            "stopped early: fetch both again."
        )
    unexpected = [name for name in stored if name not in expected and not _HARMLESS.fullmatch(name)]
    if unexpected:
        raise ModelError(
            f"{folder} holds {_count(unexpected, 'tensor')} that a model with its config.json does not have: "
            f"{_some(unexpected)}. Without them the output would change. Choose a checkpoint of a "
            f"plain {config.family} model."
        )
    for name, shape in expected.items():
        if stored[name].shape != shape:
            raise ModelError(
                f"{name} in {folder} has shape {stored[name].shape}; its config.json asks for {shape}. "
                "The two files belong to different models: fetch both again."
            )
        if stored[name].dtype not in _FLOATS:
            raise ModelError(
                f"{name} in {folder} is stored as {stored[name].dtype}, a quantised format that this course does not "
                "read. Choose the unquantised checkpoint."
            )


def _same(one, other):
    return one.shape == other.shape and torch.equal(_read(one), _read(other))


def _read(stored):
    with safe_open(stored.file, framework="pt") as opened:
        return opened.get_tensor(stored.name)


def _starts_with(file, text):
    with file.open("rb") as opened:
        return opened.read(len(text)) == text


def _device(device):
    if device is None:
        return default_device()
    try:
        device = torch.device(device)
    except (RuntimeError, TypeError):
        raise ParameterError(
            f'device is {device!r}, which torch does not know. Try "cpu", "cuda", or None to let the course choose.'
        ) from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise ParameterError(
            f'device is {str(device)!r}; the course runs on "cpu", "cuda" and, where torch can, "mps". '
            "Pass one of these, or None to let the course choose."
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ParameterError("device is 'mps', but this torch has no Apple GPU to run on. Pass \"cpu\".")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ParameterError(
            f"device is {str(device)!r}, but torch sees no GPU on this machine. Leave `device` out "
            "to run on the CPU, or see what `course doctor` says about the driver."
        )
    return device


def _dtype(dtype, device):
    if dtype is None:
        return default_dtype(device)
    known = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "float64": torch.float64}
    chosen = known.get(dtype, dtype) if isinstance(dtype, str) else dtype
    if chosen not in known.values():
        raise ParameterError(
            f"dtype is {dtype!r}, but weights are floating-point numbers. Try one of "
            f"{', '.join('torch.' + n for n in known)}, or None to let the course choose."
        )
    return chosen


def _count(names, what):
    return f"{len(names)} {what}{'s' * (len(names) != 1)}"


def _some(names, shown=3):
    """The first few names, and how many more there are."""
    more = f", and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
