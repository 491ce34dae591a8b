"""Runs a scheduler on a script of arrivals, without a model, and tells what became of each request."""

from course_lib.engine.checks import check_fits
from course_lib.engine.config import EngineConfig
from course_lib.engine.scheduler import Scheduler
from course_lib.errors import IntegrityError, ParameterError
from course_lib.kvcache import BlockAllocator, KVCacheManager
from course_lib.practice.report.timeline_text import Timeline
from course_lib.trace.records import Trace

from .scripts import Script

TOKEN = 500
"""What each sequence is given for its next token."""


def replay(scheduler, arrivals, *, num_blocks=64, block_size=4, check=True, **config):
    """The Timeline of a scheduler on a script: each sequence that is computed to its end is given one more token.

    scheduler: a class made as scheduler(config, manager, trace=trace), see course_lib.engine.Scheduler. config: of
    EngineConfig; prefix caching and the watermark are off unless they are given. check: after each step the ledger is
    checked. Raises IntegrityError for a step against the rules, ParameterError for a request that could never fit, or
    two of one name.
    """
    script = Script(tuple(arrivals))
    arrivals = script.arrivals
    names = [arrival.name for arrival in arrivals]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ParameterError(f"two of these arrivals are called {twice[0]!r}. Give each a name of its own.")
    config = EngineConfig(
        num_blocks=num_blocks, block_size=block_size, **{"prefix_caching": False, "watermark": 0.0, **config}
    )
    trace = Trace()
    manager = KVCacheManager(BlockAllocator(num_blocks, block_size), prefix_caching=config.prefix_caching)
    made = scheduler(config, manager, trace=trace)
    coming = dict(enumerate(arrivals))
    for number, arrival in coming.items():
        check_fits(arrival.prompt, arrival.request(number).params, config, num_blocks)
    requests = {}
    for now in range(script.most_steps):
        for number, arrival in list(coming.items()):
            if arrival.step <= now:
                requests[arrival.name] = coming.pop(number).request(number)
                made.add(requests[arrival.name])
        for arrival in arrivals:
            if arrival.abort == now and arrival.name in requests:
                made.finish(requests.pop(arrival.name), "abort")
        if requests:
            _one_step(made, requests, manager, config, check)
        elif not coming:
            break
        trace.next_step()
    return Timeline.of_trace(trace)


def _one_step(scheduler, requests, manager, config, check):
    step = scheduler.schedule()
    if step.num_tokens > config.max_num_batched_tokens:
        raise IntegrityError(
            f"schedule() chose {step.num_tokens} tokens, and the budget is {config.max_num_batched_tokens}."
        )
    for sequence in step.scheduled:
        request = requests[sequence.request_id]
        held = manager.table(request).num_tokens if request in manager else 0
        if held != sequence.start + sequence.num_tokens:
            raise IntegrityError(
                f"schedule() gives {sequence.request_id} {sequence.num_tokens} tokens after {sequence.start} computed "
                f"ones, and it has slots for {held}: ask for them with manager.allocate_slots(request, n)."
            )
    tokens = {sequence.request_id: [TOKEN] for sequence in step.scheduled if sequence.num_choices}
    for request, _ in scheduler.update(step, tokens):
        if request.finish_reason:
            scheduler.finish(requests.pop(request.request_id), request.finish_reason)
    if check and getattr(type(scheduler), "check_integrity", None) is Scheduler.check_integrity:
        scheduler.check_integrity()
