"""The names of tensors in a file, brought to those of the Transformer: the same weights are saved in several ways.

model.layers.0.mlp.up_proj.weight                     by transformers
layers.0.mlp.up_proj.weight                           from the body alone (LlamaModel)
_orig_mod.model.layers.0.mlp.up_proj.weight           after torch.compile
module.model.layers.0.mlp.up_proj.weight              from DistributedDataParallel, or as part of another model
"""

from course_lib.errors import ModelError

BODY, OUTPUT = "model.", "lm_head.weight"
ANCHOR = "layers.0.input_layernorm.weight"  # in every model, and nowhere else
WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")  # also between the parts of a name


def as_in_transformer(stored, folder):
    """The same dictionary, {tensor name: anything}, by the names of the Transformer.

    What has another prefix than the body keeps its name. Raises ModelError where two names become one.
    """
    prefixes = [plain.removesuffix(ANCHOR) for plain in map(without_wrappers, stored) if plain.endswith(ANCHOR)]
    if len(set(prefixes)) != 1:
        return stored  # several models in one file, or none: the check of the names says what is there
    prefix, named = prefixes[0], {}
    output = prefix.removesuffix(BODY) + OUTPUT
    for name, tensor in stored.items():
        plain = without_wrappers(name)
        if plain == output:
            plain = OUTPUT
        elif plain != OUTPUT and plain.startswith(prefix):
            plain = BODY + plain.removeprefix(prefix)
        if plain in named:
            raise ModelError(
                f"{folder} holds {plain} twice, under different prefixes, one of them {name}. Save the model once, "
                f"from the plain model: model.save_pretrained(folder)."
            )
        named[plain] = tensor
    return named


def without_wrappers(name):
    """The name without the parts that torch's wrappers put into it."""
    for wrapper in WRAPPERS:
        name = name.replace(wrapper, "")
    return name
