"""generate_naive: the oracle of the course, held to a plain loop and to transformers."""

import pytest
import torch
import transformers

from course_lib.decoding import SamplingParams, generate_naive
from course_lib.decoding.choosing import ChoiceRows, choose
from course_lib.errors import ParameterError
from course_lib.kvcache import Recompute
from course_lib.models import ModelConfig
from course_lib.models.weights import load_transformer, read_config


class Summing:
    """A model that can be foretold: after a sequence comes its sum, modulo 10. Keeps what it was asked."""

    config = ModelConfig(
        vocab_size=10,
        hidden_size=2,
        intermediate_size=2,
        num_layers=1,
        num_heads=1,
        num_kv_heads=1,
        head_dim=2,
        context=12,
        eos_token_ids=(8, 9),
    )
    device = torch.device("cpu")

    def __init__(self):
        self.asked = []

    def __call__(self, token_ids, positions, cache, logits_for=None):
        assert isinstance(cache, Recompute) and positions.tolist() == list(range(len(token_ids)))
        self.asked.append((token_ids.tolist(), logits_for.tolist()))
        sums = token_ids.cumsum(0) % 10
        return torch.nn.functional.one_hot(sums, 10).float()[logits_for]


def generate(prompt, model=None, **params):
    return generate_naive(model or Summing(), prompt, SamplingParams(**params))


def test_a_literal_run():
    # 1, 2 -> 3 -> 6 -> 12 mod 10 = 2 -> 4
    assert generate([1, 2], max_tokens=4) == [3, 6, 2, 4]


def test_the_whole_sequence_goes_in_at_every_step_and_one_row_comes_out():
    model = Summing()
    generate([1, 2], model, max_tokens=3)
    assert model.asked == [([1, 2], [1]), ([1, 2, 3], [2]), ([1, 2, 3, 6], [3])]


def test_it_stops_at_the_model_s_end_token_and_gives_it_back():
    # 1, 3 -> 4 -> 8, which ends the text
    assert generate([1, 3], max_tokens=8) == [4, 8]


def test_the_end_token_in_the_prompt_does_not_stop():
    assert generate([8, 5], max_tokens=2) == [3, 6]


def test_ignore_eos_goes_on():
    # 1, 3 -> 4 -> 8 -> 16 -> 22 -> ...
    assert generate([1, 3], max_tokens=4, ignore_eos=True) == [4, 8, 6, 2]


def test_the_caller_s_stop_ids_stop_as_well_and_are_not_ignored():
    assert generate([1, 2], max_tokens=4, stop_token_ids=[6]) == [3, 6]
    assert generate([1, 3], max_tokens=4, stop_token_ids=(2,), ignore_eos=True) == [4, 8, 6, 2]
    assert generate([1, 3], max_tokens=4, stop_token_ids=(6,), ignore_eos=True) == [4, 8, 6]


def test_max_tokens_0_gives_nothing_and_asks_nothing():
    model = Summing()
    assert generate([1, 2], model, max_tokens=0) == [] and model.asked == []


def test_the_caller_s_list_is_untouched():
    prompt = [1, 2]
    generate(prompt, max_tokens=4)
    assert prompt == [1, 2]


@pytest.mark.parametrize("prompt", [(1, 2), torch.tensor([1, 2]), iter([1, 2])], ids=["tuple", "tensor", "iterator"])
def test_any_row_of_ids_is_a_prompt(prompt):
    new = generate(prompt, max_tokens=2)
    assert new == [3, 6] and all(type(i) is int for i in new)


@pytest.mark.parametrize(
    "prompt, words",
    [
        ([], "prompt is empty"),
        ([1, 10], "id 10 is outside the vocabulary of 10"),
        ([-1], "id -1 is outside"),
        ("1 2", "flat list of token ids.*tokenizer.encode"),
        ([1.0], "flat list of token ids"),
        ([[1, 2]], "flat list of token ids"),
        (torch.tensor([[1, 2]]), "flat list of token ids"),
        (None, "flat list of token ids"),
        (3, "flat list of token ids"),
    ],
)
def test_a_bad_prompt_is_refused(prompt, words):
    with pytest.raises(ParameterError, match=f"(?s){words}"):
        generate(prompt, max_tokens=2)


def test_the_context_is_a_limit_that_may_be_filled():
    assert len(generate([1] * 5, max_tokens=7, ignore_eos=True)) == 7
    with pytest.raises(ParameterError, match="need 13 positions; the model's context is 12. Lower max_tokens to 7"):
        generate([1] * 5, max_tokens=8)
    assert generate([1] * 12, max_tokens=0) == []
    with pytest.raises(ParameterError, match="Lower max_tokens to 0 or shorten"):
        generate([1] * 13, max_tokens=0)


# --- on a real model ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The same small random Llama twice: transformers' and ours."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=60,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        bos_token_id=0,
        eos_token_id=[2, 3],
        pad_token_id=1,
        initializer_range=0.3,
    )
    theirs = transformers.LlamaForCausalLM(config).eval()
    folder = tmp_path_factory.mktemp("llama")
    theirs.save_pretrained(folder)
    return theirs, load_transformer(folder, read_config(folder), torch.device("cpu"), torch.float32)


def prompts(count):
    generator = torch.Generator().manual_seed(5)
    return [torch.randint(4, 60, (3 + 2 * n,), generator=generator).tolist() for n in range(count)]


@torch.inference_mode()
def by_hand(model, prompt, params):
    """The loop in its shortest form: the token at a position is drawn by the seed and that position."""
    ids = list(prompt)
    for _ in range(params.max_tokens):
        logits = model(torch.tensor(ids), torch.arange(len(ids)), Recompute())[-1:]
        ids.append(int(choose(logits, ChoiceRows.of([params], [params.seed or 0], [len(ids)]))))
        if ids[-1] in (2, 3):
            break
    return ids[len(prompt) :]


@pytest.mark.parametrize(
    "params",
    [SamplingParams(max_tokens=20), SamplingParams(temperature=1.0, top_k=30, top_p=0.95, seed=1, max_tokens=20)],
    ids=["greedy", "sampled"],
)
def test_it_is_the_plain_loop(pair, params):
    _, model = pair
    for prompt in prompts(4):
        assert generate_naive(model, prompt, params) == by_hand(model, prompt, params)


def test_greedy_is_what_transformers_generates(pair):
    theirs, ours = pair
    ended = 0
    for prompt in prompts(8):
        want = theirs.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=24)[0, len(prompt) :].tolist()
        assert generate_naive(ours, prompt, SamplingParams(max_tokens=24)) == want
        ended += want[-1] in (2, 3)
    assert 0 < ended < 8, "some must end by themselves and some by max_tokens, or one of the two is not tested"


def test_a_seed_repeats_the_text_and_another_changes_it(pair):
    _, model = pair
    (prompt,) = prompts(1)

    def text(seed):
        params = SamplingParams(temperature=1.5, seed=seed, max_tokens=20, ignore_eos=True)  # two could end at once
        return tuple(generate_naive(model, prompt, params))

    assert text(1) == text(1)
    assert len({text(seed) for seed in (1, 2, 3, None, None)}) == 5
