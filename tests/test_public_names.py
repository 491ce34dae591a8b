"""The names that lessons, learners and other programs import: each is there, and its docstring says what it takes."""

import inspect
import re
from importlib import import_module

import pytest

PUBLIC = {
    "course_lib": "setup load_model SamplingParams Engine EngineConfig check hint solution progress show",
    "course_lib.models": "ModelConfig Transformer load_model load_tokenizer",
    "course_lib.decoding": "sample generate_naive generate_cached first_divergence",
    "course_lib.kvcache": "Recompute ContiguousCache PagedCache BlockAllocator BlockTable PrefixCache KVCacheManager "
    "KVPool kv_bytes_per_token",
    "course_lib.attention": "standard_attention chunked_attention flash_attention_v1 flash_attention_v2 merge_partials "
    "flash_attention paged_decode paged_attention store_kv",
    "course_lib.engine": "Engine EngineConfig Request RequestOutput Scheduler",
    "course_lib.parallel": "FolderWeights Group RandomWeights Ranks Shard load_sharded",
}
METHODS = {
    "BlockAllocator": "allocate fork free num_free ref_count check_integrity",
    "BlockTable": "append_slots fork free slot",
    "ContiguousCache": "attend reset",
    "Engine": "add_request step has_unfinished abort generate",
}
IN_SOURCE = {"SamplingParams", "EngineConfig", "ModelConfig"}  # dataclasses that describe their fields where they stand
NAMES = [(module, name) for module, names in PUBLIC.items() for name in names.split()]
TENSORS = "course_lib.attention"


def said_of(thing):
    """Its docstring, with that of the function whose arguments it shares."""
    text = inspect.getdoc(thing) or ""
    for other in re.findall(r"as of\s+(\w+)|as in\s+(\w+)", text):
        module = inspect.getmodule(thing)
        found = getattr(module, "".join(other), None)
        if inspect.isfunction(found) and found is not thing:
            text += said_of(found)
    return text


@pytest.mark.parametrize("module, name", NAMES, ids=[f"{module}.{name}" for module, name in NAMES])
def test_a_public_name_says_what_it_takes(module, name):
    thing = getattr(import_module(module), name)
    text = said_of(thing)
    if name in IN_SOURCE:
        text += inspect.getsource(thing)
    parameters = [one for one in inspect.signature(thing).parameters if one not in ("self", "args", "kwargs")]
    silent = [one for one in parameters if not re.search(rf"\b{one}\b", text)]
    assert inspect.getdoc(thing) and not silent, f"the docstring of {module}.{name} says nothing of {', '.join(silent)}"
    if name in IN_SOURCE:
        undescribed = [one for one in parameters if not re.search(rf'^    {one}:.*(#|\n    """)', text, re.M)]
        assert set(undescribed) <= {"num_layers", "head_dim"}, undescribed
    if module == TENSORS:
        assert "[" in text, f"the docstring of {name} gives no shapes"
        assert "Raises" in text, f"the docstring of {name} says no errors"


@pytest.mark.parametrize("name", METHODS)
def test_the_methods_that_lessons_call_are_described(name):
    home = next(module for module, names in PUBLIC.items() if name in names.split())
    for method in METHODS[name].split():
        found = inspect.getattr_static(getattr(import_module(home), name), method, None)
        found = found.fget if isinstance(found, property) else found
        assert found is not None and found.__doc__, f"{name}.{method}"


def test_names_of_the_package_are_documented_wherever_they_come_from():
    """Every class and function that a package hands on has a docstring."""
    silent = []
    for package in ("attention", "kvcache", "decoding", "engine", "models", "workload", "serving", "batching", "trace"):
        module = import_module(f"course_lib.{package}")
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            if (inspect.isclass(thing) or inspect.isfunction(thing)) and not inspect.getdoc(thing):
                silent.append(f"{package}.{name}")
    assert not silent, silent
