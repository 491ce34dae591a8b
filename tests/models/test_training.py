"""The trainer, on a model so small that a run takes seconds."""

import dataclasses
import re

import pytest
import torch

from course_lib.models import load_model
from course_lib.models.training import data, losses, train
from course_lib.models.training.data import (
    BOS_ID,
    EOS_ID,
    answer_tokens,
    ends_of,
    make_pool,
    make_sheet,
    make_tokenizer,
    tokenise,
)
from course_lib.models.training.evaluate import tell
from course_lib.models.training.export import export
from course_lib.models.training.lookups import key_of, look_ups, repeats
from course_lib.models.training.muon import Muon
from course_lib.models.training.recipe import TALE
from course_lib.models.training.tales import make_tale

TINY = dataclasses.replace(
    TALE, hidden_size=32, intermediate_size=48, num_layers=1, num_heads=2, num_kv_heads=1, head_dim=16
)
RECIPE = dict(
    pools=3,
    short_pools=3,
    sheets_every=0,
    shown=False,
    tokens_a_batch=3072,
    decay=0.5,
    muon_lr=0.02,
    adam_lr=0.003,
    seed=1,
)


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer(200)


@pytest.fixture(autouse=True)
def small_pools(monkeypatch):
    monkeypatch.setattr(data, "TALES_A_POOL", 8)
    monkeypatch.setattr(data, "SHEETS_A_POOL", 6)
    monkeypatch.setattr(data, "TALES_BESIDE_SHEETS", 2)
    monkeypatch.setattr(train, "SECONDS_A_CHECKPOINT", 0)
    # In this process: a worker of its own would see the pools of the real size.
    monkeypatch.setattr(
        train,
        "pools",
        lambda tokenizer, done, recipe, workers: (
            (index, make_pool(tokenizer, index, chapters=1, tokens_a_batch=3072))
            for index in range(done, recipe["pools"])
        ),
    )


def run(tokenizer, folder, recipe=RECIPE, **more):
    return train.train("tiny", TINY, tokenizer, folder, "cpu", 1, recipe=recipe, log=lambda line: None, **more)


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
        train.train("tiny", TINY, tokenizer, tmp_path / "stopped", "cpu", 1, recipe=RECIPE, log=stop_after_two)
    told = []
    resumed, report = train.train(
        "tiny", TINY, tokenizer, tmp_path / "stopped", "cpu", 1, recipe=RECIPE, log=told.append
    )
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
    wanted = losses.logits_of(teacher, batch.inputs).softmax(-1)

    def distance(model):
        return float(torch.nn.functional.cross_entropy(losses.logits_of(model, batch.inputs), wanted))

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


def test_inside_a_question_only_what_was_told_and_not_asked_may_come(tokenizer):
    tale = make_tale(7, chapters=4)
    row = tokenise(tokenizer, tale)
    may = {}
    for place, token in row.may_come:
        may.setdefault(place, set()).add(token)
    ends = ends_of(tokenizer.encode(tale.text))
    for q in tale.questions:
        asked = tale.text[q.start : tale.text.index("?", q.start) + 1]
        inside = [i for i, end in enumerate(ends) if q.start < end <= q.start + len(asked)]
        assert [place + 1 for place in sorted(may) if place + 1 in inside] == inside[1:]
        assert asked in q.could_be and all(row.ids[i] in may[i - 1] for i in inside[1:])
    told = {other for q in tale.questions for other in q.could_be}
    assert len(told) > len(tale.questions) and all(len(set(q.could_be)) == len(q.could_be) for q in tale.questions)


def test_probability_outside_of_what_may_come_is_what_costs(tokenizer):
    batch = make_pool(tokenizer, 0, chapters=1)[0]
    row, place, token = batch.may_come.unbind(1)
    logits = torch.zeros(batch.inputs.numel(), data.VOCAB_SIZE)
    nothing_known = float(losses.outside(logits, batch))
    logits[row * batch.inputs.shape[1] + place, token] = 30.0
    assert nothing_known > 5 and float(losses.outside(logits, batch)) < 1e-6


def test_what_must_be_looked_up_weighs_more(tokenizer):
    tale = make_tale(5, chapters=2)
    row = tokenise(tokenizer, tale)
    assert row.ids[0] == BOS_ID and row.ids[-1] == EOS_ID and len(row.weights) == len(row.ids)
    encoding = tokenizer.encode(tale.text)
    answers = {i for q in tale.questions for i in answer_tokens(ends_of(encoding), q)}
    assert answers >= {i for i, weight in enumerate(row.weights) if weight == 16} and len(answers) > 0
    named = {i for i, weight in enumerate(row.weights) if weight in (8, 16)}
    hero = re.search(r"[a-z,] ([A-Z][a-z]+)", tale.text)[1]
    spelled = "".join(tokenizer.decode([row.ids[i]]) for i in sorted(named))
    assert spelled.count(hero) + 1 >= tale.text.count(hero) - sum(
        hero in tale.text[q.answer_start : q.answer_end] for q in tale.questions
    )
    turns = {i for i, weight in enumerate(row.weights) if weight == 4}
    assert {row.ids[i] for i in turns} & set(tokenizer.encode("Chapter").ids)
    assert row.weights.count(1.0) > len(row.weights) / 2
    for question in tale.questions:
        *inside, after = answer_tokens(ends_of(encoding), question)
        assert (
            tokenizer.decode([row.ids[i] for i in inside]).strip()
            == tale.text[question.answer_start : question.answer_end]
        )
        assert tokenizer.decode([row.ids[after]])[0] not in "abcdefghijklmnopqrstuvwxyz"


def test_a_sheet_asks_every_fact_once_and_the_kind_alone_does_not_tell(tokenizer):
    for index in range(20):
        sheet = make_sheet(index)
        facts, *asked = sheet.text.split("\n\n")
        assert len(asked) == len(sheet.questions) == len({*asked}) and 4 <= len(asked) <= 10
        kinds = [question.kind for question in sheet.questions]
        assert len({*kinds}) <= 2 < len(kinds)
        for question, told in zip(sheet.questions, asked):
            answer = sheet.text[question.answer_start : question.answer_end]
            assert sheet.text[question.start :].startswith(told) and answer in told
            assert answer in sheet.text[question.fact_start : question.fact_end] in facts
        row = tokenise(tokenizer, sheet)
        assert row.ids[0] == row.ids[-1] == EOS_ID and len(row.ids) == len(row.weights)


@pytest.mark.parametrize(
    "fact, question, key",
    [
        ("The silver spoon had been taken by Jemima the magpie.", "Who had taken the silver spoon", "silver spoon"),
        ("Strangely enough, Klaus was afraid of deep water.", "What was Klaus afraid of", "Klaus"),
        ("Ruth the innkeeper gave Tilly a giant kettle.", "Who gave Tilly the giant kettle", "giant kettle"),
        ("It rained.", "What did Ada bring", None),
    ],
)
def test_the_key_of_a_fact(fact, question, key):
    assert key_of(fact, question) == key


def test_look_ups_lead_from_answers_to_keys_and_from_questions_to_answers(tokenizer):
    shown = asked = 0
    for seed in range(40):
        tale = make_tale(seed, chapters=3)
        encoding = tokenizer.encode(tale.text)
        to_key, to_answer = look_ups(ends_of(encoding), tale.text, tale.questions)
        asked += len(tale.questions)
        shown += len({place for place, _ in to_answer if encoding.ids[place] != 0})
        for place, source in to_answer:
            assert source < place
        assert all(place <= source for source, place in to_key)
        due = {i - 1 for q in tale.questions for i in answer_tokens(ends_of(encoding), q)}
        assert {place for place, _ in to_answer} <= due
        # the token looked at is the one that has to be said, but for the mark that ends the answer
        same = sum(encoding.ids[source] == encoding.ids[place + 1] for place, source in to_answer)
        assert same >= 0.5 * len(to_answer)
    assert shown > 0.8 * asked


def test_repeats_lead_to_the_last_use(tokenizer):
    text = "An otter met a fox. The otter sang to the fox, and the otter slept."
    encoding = tokenizer.encode(text)
    pairs = repeats(ends_of(encoding), text, {"otter", "fox"})
    assert all(encoding.ids[here] == encoding.ids[before] and before < here for here, before in pairs)
    first_pieces = [encoding.offsets[here] for here, _ in pairs]
    starts = [text.index("otter", 5), text.index("fox", 20), text.rindex("otter")]
    assert [any(a <= start < b for a, b in first_pieces) for start in starts] == [True] * 3
    assert repeats(ends_of(encoding), text, {"whale"}) == []


def test_heads_learn_to_look_where_they_are_shown(tokenizer, tmp_path):
    """Their attention moves to the pairs."""
    config = dataclasses.replace(TINY, num_layers=3, num_heads=4, num_kv_heads=2, head_dim=16, hidden_size=64)
    batch = make_pool(tokenizer, 3, sheets=True, tokens_a_batch=2048)[0]
    assert len(batch.to_key) and len(batch.to_answer)

    def far(model):
        cache = losses.Shown(batch)
        losses.logits_of(model, batch.inputs, cache)
        return [float(loss.detach()) for loss in cache.losses]

    torch.manual_seed(0)
    model = train.Transformer(config)
    train.initialise(model, 0)
    optimiser = train.Optimiser(model, 0.02, 0.003, 0.5)
    before = far(model)
    for _ in range(25):
        loss, _ = losses.loss_of(model, batch, shown=True)
        loss.backward()
        optimiser.step(0.2)
    after = far(model)
    assert len(before) == 2 and after[0] < 0.7 * before[0] and after[1] < 0.9 * before[1]


def test_a_batch_pads_at_the_end_and_never_counts_the_padding(tokenizer):
    for batch in make_pool(tokenizer, 4):
        assert batch.inputs.shape == batch.targets.shape == batch.weights.shape
        for inputs, targets, weights in zip(batch.inputs, batch.targets, batch.weights):
            real = int((weights > 0).sum())
            assert bool((weights[:real] > 0).all()) and not weights[real:].any()
            assert inputs[0] == BOS_ID and targets[real - 1] == EOS_ID
            assert torch.equal(inputs[1:real], targets[: real - 1])


def test_pools_have_tales_of_their_own(tokenizer):
    def texts(index):
        return {tokenizer.decode(row.tolist()) for batch in make_pool(tokenizer, index) for row in batch.inputs}

    assert not texts(0) & texts(1)


def test_stories_told_many_at_a_time_are_those_told_alone(tokenizer, tmp_path):
    model, _ = run(tokenizer, tmp_path)
    from course_lib.decoding import SamplingParams, generate_naive

    greedy = next(iter(tell(model, 1, temperature=0)))
    alone = generate_naive(model, [BOS_ID], SamplingParams(max_tokens=60, stop_token_ids=(EOS_ID,)))
    assert [t for t in alone if t != EOS_ID] == greedy[:60]


def test_muon_steps_as_torchs_own():
    torch.manual_seed(0)
    ours = [torch.randn(shape) for shape in [(8, 8), (24, 8), (8, 24), (8, 8), (24, 8)]]
    theirs = [matrix.clone() for matrix in ours]
    before = [matrix.clone() for matrix in ours]
    mine, reference = Muon(ours, 0.05, 0.01), torch.optim.Muon(theirs, lr=0.05, weight_decay=0.01)
    for _ in range(4):
        for a, b in zip(ours, theirs):
            a.grad = b.grad = torch.randn_like(a)
        mine.step()
        reference.step()
    for a, b, start in zip(ours, theirs, before):
        assert (a - b).norm() < 0.02 * (b - start).norm()  # bfloat16 inside
