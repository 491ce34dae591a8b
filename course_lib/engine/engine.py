"""The engine: requests come in at any time, each step runs the model once for all that run, and their outputs grow.

    schedule      which tokens are computed, and where their keys and values go        integers    scheduler.py
    run           the model once, over one flat batch; the next token of each          tensors     runner.py
    update        tokens count as computed, sequences grow                             integers    scheduler.py
    outputs       text, stop strings, and which requests have ended                    strings     outputs.py

Requests join and leave at every step: continuous batching. On a GPU the next step is scheduled while this one runs.
Source: Orca (OSDI '22), vLLM (arXiv 2309.06180).
"""

import random
import time
from collections import deque

from course_lib.decoding.generate import check_model, check_prompt, stop_ids
from course_lib.decoding.sampling import SamplingParams
from course_lib.errors import IntegrityError, ParameterError
from course_lib.trace.records import Trace

from .checks import check_config, check_fits, check_prompts, check_request_fields, check_step, special_stop_ids
from .config import EngineConfig
from .gpu import make_runner
from .live import LiveRequests
from .memory import make_memory
from .metrics import EngineMetrics
from .outputs import Detokenizer, RequestOutput, TokenTexts, with_logprobs
from .protocols import make_scheduler
from .request import SWAPPED, Request
from .scheduler import Scheduler
from .tensor_parallel import open_model, starting


class Engine:
    """Serves many requests on one model and one memory.

        engine = Engine(model, tokenizer=tokenizer)
        engine.add_request(tokenizer.encode("Once upon a time"), SamplingParams(max_tokens=64))
        while engine.has_unfinished():
            for output in engine.step():
                print(output.request_id, output.text)

    model: a Transformer, or the name of one, as for load_model, which is loaded then with its tokenizer. config: an
    EngineConfig. allocator: a class made as allocator(num_blocks, block_size), or a fresh object of one. scheduler: a
    class made as scheduler(config, manager, trace=trace). attention: a function with the arguments of paged_attention,
    or a class made as attention(pool, allocator) with the methods of PagedCache. Each of the three may be a learner's
    own. tokenizer: needed for text and stop strings. trace: True records into a new Trace, False nothing (a long life
    makes a long trace); or a Trace. clock: returns seconds.

    `trace` and `metrics` (EngineMetrics) say what happened so far. Raises ParameterError for parts that do not fit
    together.
    """

    def __init__(
        self, model, config=EngineConfig(), *, allocator=None, scheduler=None, attention=None, tokenizer=None,
        trace=True, clock=time.perf_counter,
    ):  # fmt: skip
        check_config(config)
        model, tokenizer = open_model(model, config, tokenizer, attention)
        self.model, self.config, self.tokenizer = check_model(model), config, tokenizer
        self.trace = Trace() if trace is True else trace if trace is not False else None
        with starting(model, config, allocator) as on_all_ranks:
            parts = dict(allocator=allocator, attention=attention, trace=self.trace)
            self.manager, self.cache = make_memory(model, config, **parts)
            self.allocator, self.pool = self.manager.allocator, getattr(self.cache, "pool", None)
            self.scheduler = make_scheduler(scheduler or Scheduler, config, self.manager, self.trace)
            self.runner = on_all_ranks(make_runner(model, self.cache, config))
        is_known = type(self.scheduler) is Scheduler and config.speculation is None and self.trace is None
        may_overlap = is_known and self.model.device.type == "cuda"
        self.is_async = may_overlap if config.async_scheduling is None else config.async_scheduling
        self.metrics = EngineMetrics(self.allocator.num_blocks, config.block_size)
        self._clock, self._began = clock, clock()
        self._seed = random.getrandbits(32) if config.seed is None else config.seed
        self.live = LiveRequests()
        self._in_flight = deque()  # (step, its Tokens): at most two
        self._outputs = []  # of requests that ended between two steps, and of other requests' steps inside generate()
        self._token_texts = TokenTexts(tokenizer)

    # --- requests come and go ---

    def add_request(
        self, token_ids, params=SamplingParams(), *, priority=0, client="default", arrival=None, request_id=None
    ):
        """Takes a request and returns its id. It waits until a step admits it; nothing is computed here.

        token_ids: the prompt, a list of ints. priority: a lower value is more important. client: who asks. arrival:
        when it came, in seconds since the engine was made, for the order and for metrics; default: now. request_id:
        default: the next number. Raises ParameterError, and takes nothing, for what can never be served.
        """
        arrival = self.now() if arrival is None else arrival
        ids = check_prompt(self.model.config, token_ids, params, in_engine=True)
        check_fits(len(ids), params, self.config, self.allocator.num_blocks, self.manager.most_blocks)
        check_request_fields(priority, client, arrival, params, self.tokenizer)
        request_id = self.live.free_id(request_id, params.n)
        self.metrics.num_requests += 1
        own_seed = (self._seed << 31) + (self.metrics.num_requests << 8)
        seed = own_seed % 2**62 if params.seed is None else params.seed
        request = Request(request_id, ids, params, priority=priority, client=client, arrival=arrival, seed=seed)
        request.stop_ids = frozenset({*stop_ids(self.model.config, params), *special_stop_ids(params, self.tokenizer)})
        if self.tokenizer is not None:
            request.detokenizer = Detokenizer(self.tokenizer, ids, params.stop)
        self.live.add(request)
        if params.max_tokens == 0:
            request.finish_reason = "length"
            self._outputs += self._outputs_of_all(request)
            self.live.drop(request)
        else:
            self.scheduler.add(request)
        return request_id

    def abort(self, request_id):
        """Ends a request wherever it is, all its sequences. Their last outputs come with the next step.

        Returns whether there was anything to end: False for one that has finished. Raises ParameterError for an id that
        was never given out.
        """
        if request_id not in self.live.requests:
            if isinstance(request_id, str):
                return False
            raise ParameterError(f"request_id is {request_id!r}, but ids are text. Pass what add_request returned.")
        for request in self.live.requests[request_id][:]:
            self._end(request, "abort", self.now())
            self._outputs += self._outputs_of_all(request)
        return True

    def has_unfinished(self):
        """Whether a step would bring anything."""
        return bool(self.live.requests or self._outputs)

    def has_steps_in_flight(self):
        """Whether a step runs whose outputs are still to come."""
        return bool(self._in_flight)

    def request(self, sequence_id):
        """The Request of an unfinished sequence."""
        return self.live.sequences[sequence_id]

    def generate(self, prompts, params=SamplingParams()):
        """Serves all prompts and returns their last outputs in the order given; with n sequences a prompt, n in a row.

        prompts: token id lists, or strings where there is a tokenizer; a string that begins with the start token gets
        no second one. params: one SamplingParams for all, or a list. Raises ParameterError for a prompt that can never
        be served, and then takes none.
        """
        (prompts, all_params), ids, found, others = check_prompts(prompts, params), [], {}, []
        try:
            for prompt, its_params in zip(prompts, all_params):
                ids.append(self.add_request(self._encoded(prompt), its_params))
            mine, wanted = set(ids), sum(its_params.n for its_params in all_params)
            while len(found) < wanted:
                if not self.has_unfinished():
                    raise IntegrityError(
                        f"Of {wanted} sequences {len(found)} have a last output, and nothing is left to compute. Was "
                        f"step() called by something else while generate() ran, such as a scheduler?"
                    )
                for output in self.step():
                    if output.request_id not in mine:
                        others.append(output)
                    elif output.finished:
                        found[output.request_id, output.index] = output
        except BaseException:
            self._forget(ids)
            raise
        finally:
            self._outputs = others + self._outputs
        return [found[i, index] for i, its_params in zip(ids, all_params) for index in range(its_params.n)]

    # --- one step ---

    def step(self):
        """Runs the model once and returns a RequestOutput for every sequence that grew or ended, in the order of the
        batch.

        Where steps overlap (see `EngineConfig.async_scheduling`), these are the outputs of the step before, and the
        first call returns none. A step that breaks off, by an interrupt for example, leaves the engine able to go
        on: the requests that were part of it wait again. Raises IntegrityError for a scheduler that breaks its rules.
        """
        grown = self._step() if self.live.requests else []
        outputs, self._outputs = self._outputs + grown, []
        return outputs

    def _step(self):
        step = self.scheduler.schedule()
        check_step(step, self)
        self.metrics.count_step(step, self.now(), self.live.sequences, self.scheduler.running, self.allocator.num_free)
        try:
            if not step.is_empty:
                self._in_flight.append((step, self.runner.run(step)))
                if self.is_async and len(self._in_flight) == 1:
                    return []  # the next step is scheduled while this one runs
            elif not self._in_flight:
                return []  # all requests were aborted while the step was scheduled
            step, tokens = self._in_flight.popleft()
            chosen = tokens.wait()
        except BaseException:
            self._undo(step)
            raise
        grown, now = with_logprobs(self.scheduler.update(step, chosen), tokens), self.now()
        if self.config.speculation is not None:
            self.metrics.count_drafts(step, chosen)
        for request, token_ids in grown:
            request.metrics.token_times += [now] * len(token_ids)
            self.metrics.num_generated_tokens += len(token_ids)
            if self.live.sequences[request.request_id] is None:
                self.live.part(request)
        outputs = [self._advance(request, token_ids, now) for request, token_ids in grown]
        self.metrics.peak_blocks = max(self.metrics.peak_blocks, self.allocator.num_blocks - self.allocator.num_free)
        if self.trace is not None:
            self.trace.next_step()
        return outputs

    def _undo(self, step):
        """The step broke off, and with it what else is in flight."""
        steps = [step, *(other for other, _ in self._in_flight if other is not step)]
        self._in_flight.clear()
        for broken in sorted(steps, key=lambda one: one is step):
            for sequence in broken.scheduled:
                self.runner.forget(sequence.request_id)
            for request_id, _, _ in broken.swapped_out:
                self.runner.forget(request_id)
        for broken in steps:
            self.scheduler.undo(broken)

    def _advance(self, request, token_ids, now):
        """The output of a sequence that has grown; one that has ended leaves."""
        if request.finish_reason:
            self._end(request, request.finish_reason, now)
        return self._output(request, token_ids)

    def _end(self, request, reason, now):
        if self.trace is not None and self.tokenizer is not None and request in self.manager:
            self.trace.text(request.request_id, map(self._token_texts.of, request.token_ids))
        self.scheduler.finish(request, reason)
        self.runner.forget(request.request_id)
        request.metrics.finished, request.metrics.finish_reason = now, reason
        self.metrics.num_finished += request.num_sequences
        self.live.drop(request)

    def _outputs_of_all(self, request):
        """The last outputs of a request that ended before its first token: of all sequences that it stands for."""
        return [self._output(request, [], request.index + i) for i in range(request.num_sequences)]

    def _output(self, request, new_token_ids, index=None):
        ended = request.finish_reason is not None
        text = None if request.detokenizer is None else request.detokenizer.so_far(finished=ended)
        return RequestOutput(
            request.group_id, request.token_ids, new_token_ids, text, ended, request.finish_reason, request.metrics,
            request.index if index is None else index, start=request.num_prompt_tokens, logprobs=request.logprobs,
        )  # fmt: skip

    # --- small things ---

    def close(self):
        """Ends the other processes of an engine over several; one in a single process needs no end. As a context
        manager, an engine does this when the block ends.
        """
        if self.config.tensor_parallel > 1:
            self.runner.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def now(self):
        """Seconds since the engine was made, by its clock: the times of arrivals and metrics."""
        return self._clock() - self._began

    def _encoded(self, prompt):
        if not isinstance(prompt, str):
            return prompt
        if self.tokenizer is None:
            raise ParameterError(
                f"A prompt is the text {prompt[:40]!r}, and this engine has no tokenizer to read it. Make it "
                f"with Engine(model, tokenizer=tokenizer), or pass tokenizer.encode(text)."
            )
        # A text that a chat template made brings its own start token.
        ids = self.tokenizer.encode(prompt, add_bos=False)
        return ids if ids[:1] == [self.tokenizer.bos_token_id] else self.tokenizer.encode(prompt)

    def _forget(self, ids):
        for i in ids:
            self.abort(i)
        self._outputs = [output for output in self._outputs if output.request_id not in ids]

    def check_integrity(self):
        """Raises IntegrityError with the first invariant that does not hold."""
        self.scheduler.check_integrity()
        kept = {r.request_id for requests in self.live.requests.values() for r in requests if r.status == SWAPPED}
        if set(self.runner.saved) != kept:
            raise IntegrityError(
                f"CPU memory keeps the tokens of {sorted(self.runner.saved)}, and {sorted(kept)} are swapped out."
            )

    def __repr__(self):
        return (
            f"Engine({len(self.scheduler.running)} running, {len(self.scheduler.waiting)} waiting, "
            f"{self.allocator.num_free} of {self.allocator.num_blocks} blocks free)"
        )
