"""The bundled models, as they lie in the package. The full measurement is `training.evaluate`; this is a part of it."""

import json
from pathlib import Path

import pytest
import torch

from course_lib.decoding import SamplingParams, generate_naive
from course_lib.kvcache import Recompute
from course_lib.models import load_model
from course_lib.models.training import evaluate
from course_lib.models.training.data import HELD_OUT, answer_tokens, ends_of
from course_lib.models.training.tales import check_tale, make_tale

# What the course promises of `tale` and `tale-draft`.
RECALL_NEAR, RECALL_FAR, AGREEMENT = 0.99, 0.95, 0.80
# Of stories, at temperature 0.8, that keep to the whole grammar and are no copy.
WELL_FORMED = 0.95
FOLDERS = {"tale": "tale", "tale-draft": "tale_draft"}
MODELS = Path(evaluate.__file__).parents[1]


@pytest.fixture(scope="module")
def tale():
    return load_model("tale", device="cpu")


@pytest.fixture(scope="module")
def draft():
    return load_model("tale-draft", device="cpu")


def test_both_are_small_and_alike_outside(tale, draft):
    assert sum(file.stat().st_size for folder in FOLDERS.values() for file in (MODELS / folder).iterdir()) <= 15e6
    assert tale[0].config.context == draft[0].config.context == 2048
    assert tale[0].dtype == torch.float32
    assert tale[1].backend.to_str() == draft[1].backend.to_str()
    assert draft[0].config.num_parameters < tale[0].config.num_parameters / 3


@pytest.mark.parametrize("name", FOLDERS)
def test_transformers_loads_the_folder_and_gives_the_same_logits(name):
    transformers = pytest.importorskip("transformers")
    model, tokenizer = load_model(name, device="cpu")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(MODELS / FOLDERS[name], dtype=torch.float32).eval()
    their_tokenizer = transformers.AutoTokenizer.from_pretrained(MODELS / FOLDERS[name])
    text = make_tale(HELD_OUT + 1, chapters=4).text
    ids = tokenizer.encode(text)
    assert their_tokenizer(text).input_ids == ids
    assert their_tokenizer.decode(ids, skip_special_tokens=True) == tokenizer.decode(ids) == text
    with torch.inference_mode():
        expected = theirs(torch.tensor([ids])).logits[0]
        got = model(torch.tensor(ids), torch.arange(len(ids)), Recompute())
    assert expected.std() > 1
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)


def test_it_answers_what_it_was_told(tale):
    model, tokenizer = tale
    tales = [*evaluate.held_out(40, first=HELD_OUT + 5000), *evaluate.held_out(20, 8, HELD_OUT + 6000)]
    with torch.inference_mode():
        near, far = evaluate.recall(model, tokenizer.backend, tales).values()
    assert near["asked"] > 100 and near["share"] >= RECALL_NEAR
    assert far["asked"] > 40 and far["share"] >= RECALL_FAR


def test_recall_counts_what_greedy_decoding_answers(tale):
    """The share is computed in one run over each tale; the plain loop must agree, question by question."""
    model, tokenizer = tale
    tales = evaluate.held_out(4, 1, HELD_OUT + 7000)
    with torch.inference_mode():
        counted = evaluate.recall(model, tokenizer.backend, tales)
    answered = 0
    for told in tales:
        encoding = tokenizer.backend.encode(told.text)
        for question in told.questions:
            tokens = answer_tokens(ends_of(encoding), question)
            new = generate_naive(model, encoding.ids[: tokens[0]], SamplingParams(max_tokens=len(tokens)))
            answered += new == [encoding.ids[i] for i in tokens]
    assert answered > 0 and sum(row["right"] for row in counted.values()) == answered


def test_without_the_fact_it_cannot_know(tale):
    """The questions measure memory: with the sentence taken out, most answers are wrong."""
    model, tokenizer = tale
    right = asked = 0
    for told in evaluate.held_out(15, 1, HELD_OUT + 8000):
        question = told.questions[0]
        before = (
            told.text[: question.answer_start].rstrip().replace(told.text[question.fact_start : question.fact_end], "")
        )
        answer = told.text[question.answer_start : question.answer_end]
        new = generate_naive(model, tokenizer.encode(before), SamplingParams(max_tokens=8))
        right += tokenizer.decode(new).strip().startswith(answer)
        asked += 1
    assert right <= asked * 0.4


def test_its_stories_are_new_and_nearly_all_follow_the_whole_grammar(tale):
    model, tokenizer = tale
    with torch.inference_mode():
        texts = [tokenizer.decode(ids) for ids in evaluate.tell(model, 24, seed=11)]
    assert (
        sum(check_tale(text).ok for text in texts) >= 20
    )  # of 24: with 0.95 of all stories right, fewer come once in a hundred times
    assert len(set(texts)) == len(texts)
    some = set().union(
        *map(evaluate._fingerprints_of_pool, (0, 100, 1000))
    )  # of all training tales: the full measurement
    assert not {evaluate.fingerprint(text) for text in texts} & some


def test_the_draft_mostly_chooses_as_the_target_does(tale, draft):
    same = total = 0
    with torch.inference_mode():
        for told in evaluate.held_out(30, first=HELD_OUT + 9000):
            ids = tale[1].encode(told.text)
            pairs = list(zip(evaluate.top_choices(draft[0], ids), evaluate.top_choices(tale[0], ids)))
            same, total = same + sum(a == b for a, b in pairs), total + len(pairs)
    assert same / total >= AGREEMENT


@pytest.mark.parametrize("name", FOLDERS)
def test_the_card_tells_what_the_run_measured(name):
    folder = MODELS / FOLDERS[name]
    report, card = json.loads((folder / "training.json").read_text()), (folder / "README.md").read_text()
    for row in report["results"]["recall"].values():
        assert f"{row['right']} of {row['asked']}" in card
    assert "python -m course_lib.models.training.train" in card
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG") and "loss.png" in card
    losses = [loss for _, loss in report["curve"]]
    assert len(losses) >= 30 and losses[-1] < losses[0] / 5
    assert report["remark"] in " ".join(card.split())


def test_the_full_measurement_keeps_the_promises():
    results = {
        name: json.loads((MODELS / folder / "training.json").read_text())["results"] for name, folder in FOLDERS.items()
    }
    near, far = results["tale"]["recall"].values()
    assert near["share"] >= RECALL_NEAR and near["asked"] >= 1000
    assert far["share"] >= RECALL_FAR and far["asked"] >= 300
    stories = results["tale"]["stories"]
    assert stories["share"] >= WELL_FORMED and stories["told"] >= 200 and stories["temperature"] == 0.8
    assert results["tale-draft"]["agreement"]["share"] >= AGREEMENT
