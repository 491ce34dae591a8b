# %% [markdown]
# # Exercises 11 · Scheduling
#
# Six pieces of a scheduler: who fits into the next step, a prompt in pieces, the most important first, a fair share for
# each client, making room, and coming back. The checks replay scripts of arrivals, and where a step differs they show two
# timelines, yours and the expected one. What you write then runs in the real engine. `hint("11.token_budget")` goes one
# step further each time you call it.

# %% [markdown]
# {{colab}}

# %%
from course_lib import Engine, EngineConfig, SamplingParams, check, hint, load_model, progress, setup
from course_lib.engine import Policy
from course_lib.practice.lesson11_choosing import Arrival, request, scheduler_of, serve
from course_lib.viz import timeline_view

_ = setup(quiet=True)
model, tokenizer = load_model("tale", device="cpu")
opening = "Once upon a time, in a quiet harbour, there lived a patient otter named Juniper. "
words = tokenizer.encode(4 * opening)


def run(engine, arrivals):
    """Serves a script in a real engine: each Arrival gets as many tokens of a text as it says. Returns {name: tokens}."""
    written, step = {}, 0
    while engine.has_unfinished() or any(arrival.step >= step for arrival in arrivals):
        for a in arrivals:
            if a.step == step:
                engine.add_request(words[: a.prompt], SamplingParams(max_tokens=a.max_tokens, ignore_eos=True),
                                   request_id=a.name, priority=a.priority, client=a.client)
        for output in engine.step():
            written[output.request_id] = output.token_ids
        step += 1
    return written

# %% [markdown]
# ## 11.token_budget · Who fits into the next step
#
# A step costs as much as the tokens it computes, so the scheduler has a **token budget**. Choose one step. `running` are the
# requests that run, in the order of their admission; `waiting` are those that wait, who came first in front. Of each, you need
# two numbers: `request.num_tokens`, and `request.num_computed_tokens`, how many of these have their keys and values already.
#
# Return a list of pairs `(request, n)`: this request computes its next n tokens in this step.
#
# - Those who run come first, each with all tokens that are not computed. (Of one who writes this is one: its newest.)
# - Then those who wait, in their order, each with its whole prompt, as far as it is not computed. A prompt is never cut.
# - All n together are at most `token_budget`. The first who does not fit ends the step: nobody overtakes.
# - At most `max_num_seqs` run at once. Those in `running` have their seats already.
#
# Change neither the lists nor the requests. An example, with `request(name, num_tokens, num_computed_tokens)`:
#
#     fill_budget([request("a", 5, 4)], [request("b", 3), request("c", 6)], token_budget=8, max_num_seqs=4)
#     [(a, 1), (b, 3)]                                # c needs 6, and 4 are left

# %% nbgrader={"grade_id": "token_budget", "solution": true} course={"exercise": "11.token_budget"}
def fill_budget(running, waiting, token_budget, max_num_seqs):
    """Who computes how many tokens in the next step: a list of (request, n). No prompt is cut."""
    ### BEGIN SOLUTION
    step, seats = [], max_num_seqs - len(running)
    for request in running:
        n = request.num_tokens - request.num_computed_tokens
        if n > token_budget:
            return step
        step.append((request, n))
        token_budget -= n
    for request in waiting[:seats]:
        n = request.num_tokens - request.num_computed_tokens
        if n > token_budget:
            return step  # nobody overtakes
        step.append((request, n))
        token_budget -= n
    return step
    ### END SOLUTION

# %% nbgrader={"grade_id": "token_budget-check", "grade": true, "points": 2}
check("11.token_budget", fill_budget)

# %% [markdown]
# A whole day under your function. P12 means 12 tokens of a prompt, D the newest token of a text that is being written, W
# waiting. When does d, which asks for very little, have its first token?

# %% tags=["raises-exception"]
busy = [Arrival("a", prompt=6, max_tokens=8), Arrival("b", step=1, prompt=12, max_tokens=4), Arrival("c", step=2, prompt=14, max_tokens=3),
        Arrival("d", step=2, prompt=2, max_tokens=3)]
serve(fill_budget, busy, token_budget=14, max_num_seqs=4)

# %% [markdown]
# ## 11.chunked_prefill · A prompt in pieces
#
# With whole prompts the budget can be no smaller than the longest prompt, and one long prompt makes one long step. So cut
# it. The arguments and the result are the same as before, and so are the rules, but for two:
#
# - Whoever does not fit gets what is left of the budget. It is among those who run from then on, and goes on in the next
#   step where it stopped.
# - When nothing is left, the step ends. Nobody stands in it with 0 tokens.
#
# An example:
#
#     chunked_prefill([request("a", 5, 4)], [request("b", 3), request("c", 6)], token_budget=8, max_num_seqs=4)
#     [(a, 1), (b, 3), (c, 4)]                        # 4 of the 6 tokens of c

# %% nbgrader={"grade_id": "chunked_prefill", "solution": true} course={"exercise": "11.chunked_prefill"}
def chunked_prefill(running, waiting, token_budget, max_num_seqs):
    """Who computes how many tokens in the next step: a list of (request, n). The last one gets what is left of the budget."""
    ### BEGIN SOLUTION
    step, seats = [], max_num_seqs - len(running)
    for request in [*running, *waiting[:seats]]:
        n = min(request.num_tokens - request.num_computed_tokens, token_budget)
        if n == 0:
            break
        step.append((request, n))
        token_budget -= n
    return step
    ### END SOLUTION

# %% nbgrader={"grade_id": "chunked_prefill-check", "grade": true, "points": 2}
check("11.chunked_prefill", chunked_prefill)

# %% [markdown]
# Your function schedules the real engine. `scheduler_of` makes a scheduler of it, which asks it in every step and finds
# blocks for what it says. The same four requests, with a budget of 6 tokens a step. Look at the bars above the rows: no step
# is longer, and a writes a token in each.

# %% tags=["raises-exception"]
config = EngineConfig(block_size=4, num_blocks=64, max_num_seqs=4, max_num_batched_tokens=6, prefix_caching=False)
engine = Engine(model, config, scheduler=scheduler_of(chunked_prefill), tokenizer=tokenizer)
cut = run(engine, busy)
whole = run(Engine(model, EngineConfig(prefix_caching=False)), busy)
print("the same tokens as with whole prompts:", cut == whole)
timeline_view(engine.trace, memory=False)

# %% [markdown]
# ## 11.priority · The most important first
#
# A **policy** says who goes first. The engine's scheduler asks three things of it; write them. Each request has a `priority`
# (a lower value is more important, as in vLLM) and an `arrival` (the time at which it came).
#
# - `key(request)`: what those who wait are sorted by; the smallest comes in first. The most important first, among equals who
#   came first.
# - `order(running)`: a list of the running requests in the order in which they are served. When memory is short, the last of
#   them makes room. The same order as that of the key.
# - `outranks(waiting, running)`: whether this waiting request may take the place of this running one. Only if it is more
#   important. Among equals nobody is thrown out.
#
# A request that was thrown out waits again; the queue itself is there already, in `Policy`. With one seat:
#
#     step     0   1   2   3   4   5
#     a       P2   D   X   W  P4   D                  a has priority 1, prompt 2
#     b               P2   D                          b comes in step 2 with priority 0, and takes its place

# %% nbgrader={"grade_id": "priority", "solution": true} course={"exercise": "11.priority"}
class ImportantFirst(Policy):
    """The lowest `priority` value first; among equals who came first."""

    def key(self, request):
        """The smallest goes first of those who wait."""
        ### BEGIN SOLUTION
        return request.priority, request.arrival
        ### END SOLUTION

    def order(self, running):
        """The running requests as they are served; where memory is short the last one makes room."""
        ### BEGIN SOLUTION
        return sorted(running, key=self.key)
        ### END SOLUTION

    def outranks(self, waiting, running):
        """Whether the waiting request may take the place of the running one."""
        ### BEGIN SOLUTION
        return waiting.priority < running.priority
        ### END SOLUTION

# %% nbgrader={"grade_id": "priority-check", "grade": true, "points": 2}
check("11.priority", ImportantFirst)

# %% [markdown]
# Your policy in the real engine: two long texts of no importance have both seats, and then somebody comes who matters. Select
# *urgent* in the view. Who had to make room for it, and when does that one go on?

# %% tags=["raises-exception"]
mixed = [Arrival("long", prompt=12, max_tokens=16, priority=5), Arrival("longer", prompt=10, max_tokens=20, priority=5),
         Arrival("urgent", step=4, prompt=8, max_tokens=5, priority=0)]
config = EngineConfig(block_size=4, num_blocks=32, max_num_seqs=2, max_num_batched_tokens=16, prefix_caching=False, policy=ImportantFirst)
engine = Engine(model, config, tokenizer=tokenizer)
served = run(engine, mixed)
print("the same tokens as alone:", served == run(Engine(model, EngineConfig(prefix_caching=False)), mixed))
timeline_view(engine.trace)

# %% [markdown]
# What you have passed so far:

# %% tags=["nbval-ignore-output"]
progress()
