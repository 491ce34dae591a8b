"""The engine: requests come in at any time, each step runs the model once for all that run, and texts come out as they grow.

    schedule      who computes which tokens, and where their keys and values go         integers    scheduler.py
    run           the model once, over one flat batch; the next token of each           tensors     runner.py
    update        tokens count as computed, texts grow, and who is done leaves          integers

Requests join and leave at every step: continuous batching. Source: Orca (OSDI '22), vLLM (arXiv 2309.06180).
"""

import time

import torch

from course_lib.decoding.generate import check_prompt
from course_lib.decoding.sampling import SamplingParams
from course_lib.errors import IntegrityError, ParameterError
from course_lib.trace.records import Trace

from .checks import check_fits, check_step, check_request_fields
from .config import EngineConfig
from .memory import make_memory
from .metrics import EngineMetrics
from .outputs import Text
from .request import SWAPPED, Request, RequestOutput
from .runner import Runner
from .scheduler import Scheduler


class Engine:
    """Serves many requests on one model and one memory.

        engine = Engine(model, tokenizer=tokenizer)
        engine.add_request(tokenizer.encode("Once upon a time"), SamplingParams(max_tokens=64))
        while engine.has_unfinished():
            for output in engine.step():
                print(output.request_id, output.text)

    model: a Transformer. config: an EngineConfig. allocator: a class made as allocator(num_blocks, block_size), or a fresh
    object of one. scheduler: a class made as scheduler(config, manager, trace=trace). attention: a function with the arguments
    of paged_attention, or a class made as attention(pool, allocator) with the methods of PagedCache. Each of the three may be a
    learner's own. tokenizer: needed for text and stop strings. trace: True records into a new Trace, False nothing (a long life
    makes a long trace); or a Trace.

    `trace` and `metrics` (EngineMetrics) say what happened so far. Raises ParameterError for parts that do not fit together.
    """

    def __init__(
        self,
        model,
        config=EngineConfig(),
        *,
        allocator=None,
        scheduler=None,
        attention=None,
        tokenizer=None,
        trace=True,
        clock=time.perf_counter,
    ):
        if not isinstance(config, EngineConfig):
            raise ParameterError(
                f"config is {config!r}, but an engine is set up by an EngineConfig. Pass EngineConfig("
                f"block_size=16), for example."
            )
        self.model, self.config, self.tokenizer = model, config, tokenizer
        self.trace = Trace() if trace is True else trace if trace is not False else None
        self.manager, self.cache = make_memory(
            model, config, allocator=allocator, attention=attention, trace=self.trace
        )
        self.allocator, self.pool = self.manager.allocator, getattr(self.cache, "pool", None)
        self.scheduler = (scheduler or Scheduler)(config, self.manager, trace=self.trace)
        self.runner = Runner(model, self.cache, self.manager)
        self.metrics = EngineMetrics()
        self._clock, self._began = clock, clock()
        self._texts = {}  # request_id as the caller knows it -> its unfinished texts
        self._names, self._next_id = set(), 0  # of all unfinished texts, in the ledger and the trace
        self._outputs = []  # of requests that ended between two steps, and of others' steps inside generate()
        self._token_texts = {}

    # --- requests come and go ---

    def add_request(
        self, token_ids, params=SamplingParams(), *, priority=0, client="default", arrival=None, request_id=None
    ):
        """Takes a request and returns its id. It waits until a step admits it; nothing is computed here.

        token_ids: the prompt, a list of ints. priority: a lower value is more important. client: who asks. arrival: when it
        came, in seconds since the engine was made, for the order and for metrics; default: now. request_id: default: the
        next number. Raises ParameterError, and takes nothing, for what can never be served.
        """
        arrival = self._now() if arrival is None else arrival
        ids = check_prompt(self.model.config, token_ids, params, in_engine=True)
        check_fits(len(ids), params, self.config, self.allocator.num_blocks)
        check_request_fields(priority, client, arrival, params, self.tokenizer)
        request_id = self._free_id(request_id, params.n)
        request = Request(request_id, ids, params, priority=priority, client=client, arrival=arrival)
        request.stop_ids |= frozenset(() if params.ignore_eos else self.model.config.eos_token_ids)
        if params.temperature > 0:
            request.generators = [self._generator(request, i) for i in range(params.n)]
        if self.tokenizer is not None:
            request.text = Text(self.tokenizer, ids, params.stop)
        self.metrics.num_requests += 1
        if params.max_tokens == 0:
            for index in range(params.n):
                self._outputs.append(
                    RequestOutput(
                        request_id, [], [], None if request.text is None else "", True, "length", request.metrics, index
                    )
                )
            self._names.difference_update(names_of(request_id, params.n))
            return request_id
        self._texts[request_id] = [request]
        self.scheduler.add(request)
        return request_id

    def abort(self, request_id):
        """Ends a request wherever it is, all its texts. Their last outputs come with the next step.

        Returns whether there was anything to end: False for one that has finished. Raises ParameterError for an id that
        was never given out.
        """
        if request_id not in self._texts:
            if isinstance(request_id, str):
                return False
            raise ParameterError(f"request_id is {request_id!r}, but ids are text. Pass what add_request returned.")
        for request in self._texts[request_id][:]:
            self._outputs.append(self._finish(request, "abort", [], self._now()))
        return True

    def has_unfinished(self):
        """Whether a step would bring anything."""
        return bool(self._texts or self._outputs)

    def generate(self, prompts, params=SamplingParams()):
        """Serves all prompts and returns their last outputs in the order given; with n texts a prompt, n after each other.

        prompts: token id lists, or texts where there is a tokenizer. params: one SamplingParams for all, or a list. Raises
        ParameterError for a prompt that can never be served, and then takes none.
        """
        prompts = list(prompts)
        all_params = [params] * len(prompts) if isinstance(params, SamplingParams) else list(params)
        if len(all_params) != len(prompts):
            raise ParameterError(
                f"{len(prompts)} prompts came with {len(all_params)} parameters. Give one SamplingParams for "
                f"all, or one for each prompt."
            )
        ids = []
        try:
            for prompt, its_params in zip(prompts, all_params):
                ids.append(self.add_request(self._encoded(prompt), its_params))
        except BaseException:
            self._forget(ids)
            raise
        found, mine, others = {}, set(ids), []
        try:
            while len(found) < sum(its_params.n for its_params in all_params):
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
        """Runs the model once and returns a RequestOutput for every text that grew or ended, in the order of the batch.

        A step that breaks off, by an interrupt for example, leaves the engine able to go on: whoever was part of it waits
        again. Raises IntegrityError for a scheduler that breaks its rules.
        """
        grown = self._step() if self._texts else []
        outputs, self._outputs = self._outputs + grown, []
        return outputs

    def _step(self):
        step = self.scheduler.schedule()
        check_step(step, self)
        began = self._now()
        try:
            chosen = self.runner.run(step)
        except BaseException:
            self.scheduler.undo(step)
            for request, _ in step.swapped_out + step.scheduled:
                self.runner.forget(request)
            raise
        now = self._now()
        self._count(step, began)
        self.scheduler.update(step)
        outputs = [output for request, token_ids in chosen for output in self._advance(request, token_ids, now)]
        self.metrics.peak_blocks = max(self.metrics.peak_blocks, self.allocator.num_blocks - self.allocator.num_free)
        if self.trace is not None:
            self.trace.next_step()
        return outputs

    def _advance(self, request, token_ids, now):
        """Each text gets its token; where one request stood for several, they part here."""
        texts = [request]
        for index in range(1, len(token_ids)):
            texts.append(request.fork(index))
            self.scheduler.fork(request, texts[-1])
            self._texts[request.group_id].append(texts[-1])
        del request.generators[1:]
        for text, token_id in zip(texts, token_ids):
            text.append(token_id)
            text.metrics.token_times.append(now)
            self.metrics.num_generated_tokens += 1
            if text.finish_reason:
                yield self._finish(text, text.finish_reason, [token_id], now)
            else:
                yield self._output(text, [token_id])

    def _finish(self, request, reason, new_token_ids, now):
        if self.trace is not None and self.tokenizer is not None and request in self.manager:
            self.trace.text(request.request_id, map(self._token_text, request.token_ids))
        self.scheduler.finish(request, reason)
        self.runner.forget(request)
        request.metrics.finished = now
        self.metrics.num_finished += 1
        texts = self._texts[request.group_id]
        texts.remove(request)
        if not texts:
            del self._texts[request.group_id]
            self._names.difference_update(names_of(request.group_id, request.params.n))
        return self._output(request, new_token_ids)

    def _output(self, request, new_token_ids):
        ended = request.finish_reason is not None
        text = None if request.text is None else request.text.so_far(finished=ended)
        return RequestOutput(
            request.group_id,
            request.output_ids,
            new_token_ids,
            text,
            ended,
            request.finish_reason,
            request.metrics,
            request.index,
        )

    def _count(self, step, began):
        m = self.metrics
        m.num_steps += 1
        m.num_scheduled_tokens += step.num_tokens
        m.num_preemptions += len(step.preempted)
        m.peak_running = max(m.peak_running, len(self.scheduler.running))
        for request, n in step.scheduled:
            request.metrics.num_computed_tokens += n
        for request, num_cached in step.admitted:
            m.num_cached_tokens += num_cached
            if request.metrics.first_scheduled is None:
                request.metrics.first_scheduled, request.metrics.num_cached_tokens = began, num_cached
        for request, lost in step.preempted:
            request.metrics.num_preemptions += 1
            m.num_recomputed_tokens += lost
        m.num_swapped_tokens += sum(request.num_computed_tokens for request, _ in step.swapped_out)

    # --- small things ---

    def _free_id(self, wanted, n):
        """An id that nobody unfinished has."""
        if wanted is not None and (not isinstance(wanted, str) or not wanted):
            raise ParameterError(
                f"request_id is {wanted!r}, but it is a name: text of at least one character. Leave it out to get one."
            )
        while (request_id := str(self._next_id) if wanted is None else wanted) in self._names:
            if wanted is not None:
                raise ParameterError(
                    f"A request {wanted!r} is being served already, and two of one name could not be told "
                    f"apart. Choose another request_id, or leave it out."
                )
            self._next_id += 1
        names = names_of(request_id, n)
        if not self._names.isdisjoint(names):
            raise ParameterError(
                f"With n={n} the texts of request {request_id!r} are called {', '.join(names[1:])} in the "
                f"trace, and one of these names is being served already. Choose another request_id."
            )
        self._names.update(names)
        self._next_id += wanted is None
        return request_id

    def _now(self):
        return self._clock() - self._began

    def _generator(self, request, index):
        """Text `index` draws with seed + index; without a seed, from the engine's seed and the number of the request."""
        seed = request.params.seed
        seed = (self.config.seed << 31) + (self.metrics.num_requests << 8) + index if seed is None else seed + index
        return torch.Generator(device=self.model.device).manual_seed(seed % 2**63)

    def _encoded(self, prompt):
        if not isinstance(prompt, str):
            return prompt
        if self.tokenizer is None:
            raise ParameterError(
                f"A prompt is the text {prompt[:40]!r}, and this engine has no tokenizer to read it. Make it "
                f"with Engine(model, tokenizer=tokenizer), or pass tokenizer.encode(text)."
            )
        return self.tokenizer.encode(prompt)

    def _forget(self, ids):
        for i in ids:
            self.abort(i)
        self._outputs = [output for output in self._outputs if output.request_id not in ids]

    def _token_text(self, token_id):
        if token_id not in self._token_texts:
            known = token_id < self.tokenizer.vocab_size
            self._token_texts[token_id] = self.tokenizer.token_text(token_id) if known else f"<{token_id}>"
        return self._token_texts[token_id]

    def check_integrity(self):
        """Raises IntegrityError with the first invariant that does not hold."""
        self.scheduler.check_integrity()
        kept = {r.request_id for texts in self._texts.values() for r in texts if r.status == SWAPPED}
        if set(self.runner.saved) != kept:
            raise IntegrityError(
                f"CPU memory keeps the tokens of {sorted(self.runner.saved)}, and {sorted(kept)} are swapped out."
            )

    def __repr__(self):
        return (
            f"Engine({len(self.scheduler.running)} running, {len(self.scheduler.waiting)} waiting, "
            f"{self.allocator.num_free} of {self.allocator.num_blocks} blocks free)"
        )


def names_of(request_id, n):
    """What the n texts of a request are called in the ledger and the trace."""
    return [request_id, *(f"{request_id}.{index}" for index in range(1, n))]
