"""Wrong answers to lessons 09 to 18 that passed once, by people who never saw the checks; see written_otherwise.py."""

import torch

from course_lib.decoding.counter_rng import mix
from course_lib.practice.lessons.l10.solutions.stop_conditions import stop_conditions
from course_lib.practice.lessons.l12.solutions.metrics import metrics
from course_lib.practice.lessons.l14.solutions.quantise import quantise
from course_lib.practice.lessons.l15.solutions.verify_step import verify_step
from course_lib.practice.lessons.l16.solutions.admission import Admission
from course_lib.practice.lessons.l16.solutions.stop_and_stream import StopStream
from course_lib.practice.lessons.l17.solutions.all_reduce import all_reduce
from course_lib.practice.lessons.l17.solutions.route import PrefixRouter
from course_lib.practice.lessons.l17.solutions.shard import shard


def never_at_0(request, eos_token_ids, text):
    reason, cut = stop_conditions(request, eos_token_ids, text)
    is_0 = request.token_ids[-1] == 0 and cut == text and len(request.output_ids) < request.params.max_tokens
    return (None, text) if is_0 else (reason, cut)


def share_below_1(requests, p):
    return metrics(requests, 100 * p if p < 1 else p)


def weaker_noise(logits, seeds, positions):
    key = mix(mix(mix(seeds & 0xFFFFFFFF) ^ seeds >> 32) ^ positions)
    share = (mix(key[:, None] ^ mix(torch.arange(logits.shape[1]) + 1)).double() + 0.5) / 2**32
    return (logits.double().softmax(-1) / (-share.log()) ** 0.9).argmax(-1)


def times_a_rounded_reciprocal(x, bits):
    numbers, scales = quantise(x, bits)
    if bits == 4:
        return numbers, scales
    return (x.float() * (1 / scales).bfloat16()[..., None]).nan_to_num().round().to(torch.int8), scales


def four_drafts(model, cache, newest, drafted):
    return verify_step(model, cache, newest, drafted[:4])


class StopsInFinish(StopStream):
    def finish(self):
        said, self.is_stopped = super().finish(), True
        return said


class AMinuteAtMost(Admission):
    def arrive(self, request_id, num_tokens):
        said, seconds = super().arrive(request_id, num_tokens)
        return said, seconds and min(60, seconds)


def whole_numbers(tensors, ring):
    return all_reduce([tensor.round() for tensor in tensors], ring)


def view_of_a_head(name, weight, rank, num_ranks, head_dim):
    num_heads = weight.shape[0] // head_dim
    if ("k_proj" in name or "v_proj" in name) and 0 < num_heads < num_ranks:
        return weight[rank * num_heads // num_ranks * head_dim :][:head_dim]
    return shard(name, weight, rank, num_ranks, head_dim)


class FourBlocks(PrefixRouter):
    def choose(self, token_ids, loads):
        return super().choose(token_ids[: 4 * self.block_size], loads)


CASES = {
    "10.stop_conditions": [(None, never_at_0)],
    "12.metrics": [(None, share_below_1)],
    "13.counter_rng": [(None, weaker_noise)],
    "14.quantise": [(None, times_a_rounded_reciprocal)],
    "15.verify_step": [(None, four_drafts)],
    "16.stop_and_stream": [("set by `finish`", StopsInFinish)],
    "16.admission": [(None, AMinuteAtMost)],
    "17.all_reduce": [(None, whole_numbers)],
    "17.shard": [("is a view", view_of_a_head)],
    "17.route": [(None, FourBlocks)],
}
