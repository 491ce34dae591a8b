"""The trials of 10.continuous_loop in which a request has the id of an earlier one."""

from course_lib.decoding.sampling import SamplingParams
from course_lib.engine.request import Request
from course_lib.practice.fixtures.tiny_server import SummingModel, paged_cache
from course_lib.practice.judge.exercise import Trial

from .continuous_loop_trials import TINY


def again(*calls):
    """The Trial of an id that two requests have, one after the other. calls: "add", "abort" or "step"."""

    def act(answer):
        model = SummingModel()
        cache = paged_cache(model, 8, 4)
        server, outputs = answer(model, cache, 2), []
        for call in calls:
            if call == "add":
                server.add_request(Request("a", [5, 6, 7], SamplingParams(max_tokens=2)))
            elif call == "abort":
                server.abort("a")
            else:
                outputs.append(list(map(tuple, server.step())))
        return outputs, bool(server.has_unfinished()), cache.allocator.num_free

    lines = {
        "add": 'server.add_request(Request("a", [5, 6, 7], SamplingParams(max_tokens=2)))',
        "abort": 'server.abort("a")',
        "step": "outputs.append(server.step())",
    }
    return Trial(
        [
            *TINY,
            "cache = paged_cache(model, 8, 4)",
            "server, outputs = ContinuousLoop(model, cache, max_num_seqs=2), []",
            *(lines[call] for call in calls),
            "outputs, server.has_unfinished(), cache.allocator.num_free",
        ],
        act,
        size=10 * len(calls),
    )


AGAIN = [
    again("add", "step", "step", "add", "step", "step"),
    again("add", "abort", "add", "step", "step"),
    again("add", "step", "abort", "add", "step", "step"),
    again("add", "step", "step", "abort", "add", "step"),
    again("abort", "add", "step"),
    again("add", "step", "step", "add", "step", "abort", "add", "step"),
]
