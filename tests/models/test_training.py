"""The trainer, on a model so small that a run takes seconds."""

import dataclasses
import re

import pytest
import torch

from course_lib.models import load_model
from course_lib.models.training import data, train
from course_lib.models.training.data import (
    BOS_ID, EOS_ID, answer_tokens, make_pool, make_sheet, make_tokenizer, tokenise, tokenise_sheet)
from course_lib.models.training.evaluate import tell
from course_lib.models.training.export import export
from course_lib.models.training.tales import make_tale

TINY = dataclasses.replace(train.TALE, hidden_size=32, intermediate_size=48, num_layers=1, num_heads=2,
                           num_kv_heads=1, head_dim=16)
RECIPE = dict(short_pools=3, light_pools=3, pools=3, sheets=(0, 0), decay=0.5, muon_lr=0.02, adam_lr=0.003, seed=1)


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer(200)


@pytest.fixture(autouse=True)
def small_pools(monkeypatch):
    monkeypatch.setattr(data, "TALES_A_POOL", 8)
    monkeypatch.setattr(train, "POOLS_A_CHECKPOINT", 1)
    # In this process: a worker of its own would see the pools of the real size.
    monkeypatch.setattr(train, "pools", lambda tokenizer, done, recipe, workers: (
        (index, make_pool(tokenizer, index, chapters=1)) for index in range(done, recipe["pools"])))


def run(tokenizer, folder, recipe=RECIPE, **more):
    return train.train("tiny", TINY, tokenizer, folder, "cpu", 1, recipe=recipe, compiled=False, log=lambda line: None, **more)


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tokenizer, tmp_path, monkeypatch):
    (tmp_path / "whole").mkdir()
    (tmp_path / "stopped").mkdir()
    whole, _ = run(tokenizer, tmp_path / "whole")

    class Stopped(Exception):
        pass

    def stop_after_two(line):
        if "pool 3/3" in line:
            raise Stopped  # the third pool is trained, and its checkpoint never written

    with pytest.raises(Stopped):
        train.train("tiny", TINY, tokenizer, tmp_path / "stopped", "cpu", 1, recipe=RECIPE, compiled=False, log=stop_after_two)
    told = []
    resumed, report = train.train("tiny", TINY, tokenizer, tmp_path / "stopped", "cpu", 1, recipe=RECIPE, compiled=False,
                                  log=told.append)
    assert told[0] == "tiny: going on from pool 2 of 3"
    assert len(report["curve"]) == 3
    for (name, ours), theirs in zip(whole.state_dict().items(), resumed.state_dict().values()):
        assert torch.equal(ours, theirs), name


def test_training_lowers_the_loss(tokenizer, tmp_path):
    _, report = run(tokenizer, tmp_path, RECIPE | dict(pools=24))
    losses = [loss for _, loss in report["curve"]]
    assert losses[-1] < 0.9 * losses[0]


def test_a_draft_is_drawn_to_its_teacher(tokenizer, tmp_path):
    (tmp_path / "alone").mkdir()
    (tmp_path / "taught").mkdir()
    teacher, _ = run(tokenizer, tmp_path, RECIPE | dict(pools=8, seed=7))
    alone, _ = run(tokenizer, tmp_path / "alone")
    taught, _ = run(tokenizer, tmp_path / "taught", teacher=teacher)
    batch = make_pool(tokenizer, 99, chapters=1)[0]
    wanted = train.logits_of(teacher, batch.inputs).softmax(-1)

    def distance(model):
        return float(torch.nn.functional.cross_entropy(train.logits_of(model, batch.inputs), wanted))

    assert distance(taught) < distance(alone)


def test_what_is_exported_is_what_is_loaded(tokenizer, tmp_path):
    model, report = run(tokenizer, tmp_path)
    results = {"recall": {"up to 512 tokens back": dict(right=1, asked=2, share=0.5)}}
    export("tiny", model, tokenizer, tmp_path / "tiny", report, RECIPE, results, "cpu")
    loaded, loaded_tokenizer = load_model(str(tmp_path / "tiny"), device="cpu")
    text = make_tale(3, chapters=1).text
    assert loaded_tokenizer.encode(text) == tokenizer.encode(text).ids
    for name, weight in loaded.state_dict().items():
        assert torch.equal(weight, model.state_dict()[name].to(torch.bfloat16).float()), name
    assert "1 of 2" in (tmp_path / "tiny" / "README.md").read_text()


def test_answers_and_names_told_before_weigh_more(tokenizer):
    tale = make_tale(5, chapters=2)
    ids, weights = tokenise(tokenizer, tale, 16.0)
    assert ids[0] == BOS_ID and ids[-1] == EOS_ID and len(weights) == len(ids)
    encoding = tokenizer.encode(tale.text)
    answers = {i for q in tale.questions for i in answer_tokens(encoding, q)}
    assert answers == {i for i, weight in enumerate(weights) if weight == 16}
    named = {i for i, weight in enumerate(weights) if weight == 4}
    hero = re.search(r"[a-z,] ([A-Z][a-z]+)", tale.text)[1]
    spelled = "".join(tokenizer.decode([ids[i]]) for i in sorted(named | answers))
    assert spelled.count(hero) + 1 >= tale.text.count(hero) - sum(hero in tale.text[q.answer_start:q.answer_end] for q in tale.questions)
    assert all(0 < weight for weight in weights) and len(weights) - len(named) - len(answers) > len(weights) / 2
    for question in tale.questions:
        *inside, after = answer_tokens(encoding, question)
        spelled = tokenizer.decode([ids[i] for i in inside]).strip()
        assert spelled == tale.text[question.answer_start:question.answer_end]
        assert tokenizer.decode([ids[after]])[0] not in "abcdefghijklmnopqrstuvwxyz"


def test_a_batch_pads_at_the_end_and_never_counts_the_padding(tokenizer):
    for batch in make_pool(tokenizer, 4):
        assert batch.inputs.shape == batch.targets.shape == batch.weights.shape
        for inputs, targets, weights in zip(batch.inputs, batch.targets, batch.weights):
            real = int((weights > 0).sum())
            assert bool((weights[:real] > 0).all()) and not weights[real:].any()
            assert inputs[0] == BOS_ID and targets[real - 1] == EOS_ID
            assert torch.equal(inputs[1:real], targets[:real - 1])


def test_pools_have_tales_of_their_own(tokenizer):
    def texts(index):
        return {tokenizer.decode(row.tolist()) for batch in make_pool(tokenizer, index) for row in batch.inputs}
    assert not texts(0) & texts(1)


def test_a_sheet_asks_every_fact_once_and_the_kind_alone_does_not_tell(tokenizer):
    for index in range(20):
        text, answers = make_sheet(index)
        facts, *asked = text.split("\n\n")
        assert len(asked) == len(answers) == len({*asked}) and 4 <= len(asked) <= 10
        first_words = [question.split()[0] + question.split("? ")[0].split()[-1] for question in asked]
        assert len({*first_words}) < len(asked), "no two questions of one kind"
        for (start, end), question in zip(answers, asked):
            assert text[start:end] in facts and text[start:end] in question.split("? ")[1]
        ids, weights = tokenise_sheet(tokenizer, index, 16.0)
        assert ids[0] == ids[-1] == EOS_ID and len(ids) == len(weights)
        spelled = tokenizer.decode([i for i, weight in zip(ids, weights) if weight == 16])
        assert all(text[start:end] in spelled for start, end in answers)


def test_stories_told_many_at_a_time_are_those_told_alone(tokenizer, tmp_path):
    model, _ = run(tokenizer, tmp_path)
    from course_lib.decoding import SamplingParams, generate_naive
    greedy = next(iter(tell(model, 1, temperature=0)))
    alone = generate_naive(model, [BOS_ID], SamplingParams(max_tokens=60, stop_token_ids=(EOS_ID,)))
    assert [t for t in alone if t != EOS_ID] == greedy[:60]
