"""Which options of `course bench` go together: a message, and the next step, for each pair that does not."""

import math

from course_lib.errors import ParameterError


def check_together(options):
    """Raises ParameterError, in one line, for options that contradict each other."""
    o = options
    is_open = o.users is None and o.trace is None
    is_batched = any(mode in ("static", "dynamic") for mode in o.mode)
    for wrong, what in (
        (o.simulate and o.url, "--simulate and --url are two things to measure. Give one of them."),
        (o.model is not None and not o.model.strip(), "--model is empty. Leave it out, or name a model."),
        (o.simulate and any(one.startswith("speculation=") for one in o.engine), "--engine speculation=... drafts with "
         "a model or from text, and a simulation has neither. Leave one of the two."),
        (o.url and o.engine, "--engine sets up the course's engine; a server behind --url has its own settings. Leave "
         "one of the two."),
        (o.cost and not o.simulate, "--cost is for the simulator. Add --simulate, or leave it."),
        (o.vocab_size and not o.url, "--vocab-size is for a server behind --url; a model says its own."),
        (o.rate is not None and o.users is not None, "--rate is an open loop and --users is a closed one. Give one of "
         "them."),
        (o.trace and (o.rate is not None or o.users is not None), "--trace says when requests arrive, so it goes with "
         "neither --rate nor --users."),
        (o.trace and (o.lengths or o.scale is not None), "--trace brings its own lengths. Leave --lengths, --scale."),
        (o.trace and (o.turns or o.client), "--trace says of each request when it comes and from whom, so it goes with "
         "neither --turns nor --client."),
        (o.burstiness is not None and not is_open, "--burstiness is for --rate only."),
        (o.burstiness is not None and o.rate == math.inf, "--burstiness says nothing where all requests arrive at once "
         "(--rate inf). Leave it, or give a finite rate."),
        (o.think_time is not None and o.users is None and o.turns is None and not o.client, "--think-time is for "
         "--users and --turns: it is the pause before the next request."),
        (o.prefix_tokens is None and (o.num_prefixes is not None or o.prefix_share is not None) and not o.client,
         "--num-prefixes and --prefix-share say more about --prefix-tokens. Give that too."),
        (o.duration is not None and o.num_requests is None and o.rate == math.inf, "--rate inf brings requests without "
         "end at the start. Give --num-requests."),
        (o.rates is not None and (o.rate is not None or not is_open), "--rates is a sweep over loads, a run for each, "
         "so it goes with none of --rate, --users and --trace."),
        (o.rates is not None and any("rate=" in one or "users=" in one for one in o.client), "--rates gives every "
         "client the same rate. Leave rate and users out of --client."),
        (o.mode and (o.simulate or o.url), "--mode is for the course's engine. Leave --simulate and --url."),
        (set(o.mode) - {"continuous", "static", "dynamic"}, f"--mode is {', '.join(o.mode)}; it can be continuous, "
         "static or dynamic, each in a --mode of its own."),
        (len(set(o.mode)) < len(o.mode), f"--mode names one twice: {', '.join(o.mode)}. Give each once."),
        (o.batch_size is not None and not is_batched, "--batch-size is for --mode static and --mode dynamic. With "
         "continuous batching, give --engine max_num_seqs=8, for example."),
        (o.batch_timeout is not None and "dynamic" not in o.mode, "--batch-timeout is for --mode dynamic."),
        (o.engine and is_batched and "continuous" not in o.mode, "--engine sets up continuous batching. Leave it, or "
         "add --mode continuous."),
    ):  # fmt: skip
        if wrong:
            raise ParameterError(what)
