"""The server of `course serve` under many clients on this machine: nothing is lost, mixed up or left behind.

    python benchmarks/serving.py [--only streams,chaos,health] [--streams 512] [--requests 10000] [--model tale-draft]
                                 [--record]

    streams   So many streams at once, each of its own prompt, over HTTP from a process of its own. Each text must be
              that of generate_naive.
    chaos     So many requests, up to 64 at once: whole answers, clients that hang up at any moment, malformed bodies,
              unknown fields, prompts that are too long, and now and then all connections are cut and made anew. Whole
              answers must be right; at the end no block may be in use and no request open. The memory of the process is
              taken at the start, and after each tenth.
    health    GET /health while 64 streams run, asked from a process of its own: how long the event loop waits for the
              engine's thread, which computes all the time. Beside it the same with no stream.

Greedy, float32. The server runs in this process and the clients in another, so both can use a core. --record writes
what ran into benchmarks/results/serving_cpu.json.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import random
import sys
import time
from datetime import date
from pathlib import Path

import httpx
import numpy as np

RESULTS = Path(__file__).parent / "results" / "serving_cpu.json"

PROMPTS = [
    f"Once there was a {who} in {where}" for who in ("cat", "fox", "hare", "owl") for where in ("town", "a wood")
]
BROKEN = (b"{", b"[]", b'{"model": 1}', b"\xff", b'{"model": "m", "prompt": "a", "nonsense": 1}')


def body(prompt, max_tokens, **more):
    return dict(model="m", prompt=prompt, max_tokens=max_tokens, temperature=0, ignore_eos=True) | more


def client_of():
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    return httpx.AsyncClient(timeout=600, limits=limits, trust_env=False)


async def text_of(client, url, prompt, max_tokens):
    """The text of one stream."""
    found, is_done = "", False
    data = body(prompt, max_tokens, stream=True)
    async with client.stream("POST", f"{url}/v1/completions", json=data) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: {"):
                found += json.loads(line[6:])["choices"][0]["text"]
            is_done |= line == "data: [DONE]"
    assert is_done, found
    return found


async def streams(url, expected):
    """All streams of {(prompt, max_tokens): text} at once. Returns how many had another text, and how many no end."""
    async with client_of() as client:
        found = await asyncio.gather(*[text_of(client, url, *asked) for asked in expected], return_exceptions=True)
    lost = sum(isinstance(one, BaseException) for one in found)
    return sum(one != right for one, right in zip(found, expected.values())) - lost, lost


async def chaos(url, expected, num_requests):
    """Returns {what happened: how often}."""
    draw, asked, counts = random.Random(0), list(expected), {}
    client, room, tasks = client_of(), asyncio.Semaphore(64), set()

    async def one(kind, its_client):
        key = draw.choice(asked)
        try:
            if kind == "whole":
                text = await text_of(its_client, url, *key)
                kind = kind if text == expected[key] else "WRONG TEXT"
            elif kind == "hangs up":
                data = body(key[0], 1500, stream=draw.random() < 0.7)
                ask = asyncio.create_task(its_client.post(f"{url}/v1/completions", json=data))
                await asyncio.wait({ask}, timeout=draw.expovariate(20))
                ask.cancel()
                await asyncio.gather(ask, return_exceptions=True)
            else:
                content = draw.choice(BROKEN) if kind == "malformed" else json.dumps(body([5] * 9999, 9)).encode()
                status = (await its_client.post(f"{url}/v1/completions", content=content)).status_code
                kind = kind if status in (400, 404) else f"{kind} {status}"
        except (httpx.TransportError, RuntimeError):  # RuntimeError: its client has been closed
            kind = "cut" if its_client.is_closed else "LOST"
        except Exception as error:
            kind = f"LOST: {type(error).__name__}"
        finally:
            room.release()
        counts[kind] = counts.get(kind, 0) + 1

    for number in range(num_requests):
        await room.acquire()
        if number % 500 == 499:
            await client.aclose()  # as a client that restarts: whatever is open is cut
            client = client_of()
        kind = draw.choices(["whole", "hangs up", "malformed", "too long"], [5, 3, 1, 1])[0]
        tasks.add(task := asyncio.create_task(one(kind, client)))
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks, return_exceptions=True)
    await client.aclose()
    return counts


async def health(url, num_streams, max_tokens):
    """Milliseconds of each GET /health while so many streams run; with none, for two seconds."""
    waits = []
    async with client_of() as client:
        asked = [text_of(client, url, f"{PROMPTS[k % 8]} number {k}", max_tokens) for k in range(num_streams)]
        running = asyncio.gather(*asked) if asked else asyncio.sleep(2)
        async with asyncio.TaskGroup() as tasks:
            ended = asyncio.Event()
            tasks.create_task(asyncio.to_thread(ask_health, url, ended, waits))
            await running
            ended.set()
    return waits


def ask_health(url, ended, waits):
    """In a process of its own, so that it waits for nothing but the server."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_asker, args=(url, theirs))
    process.start()
    while not ended.is_set():
        time.sleep(0.05)
    ours.send(None)
    waits += ours.recv()
    process.join()


def _asker(url, pipe):
    waits = []
    with httpx.Client(trust_env=False, timeout=60) as client:
        while not pipe.poll(0.01):
            began = time.perf_counter()
            client.get(f"{url}/health")
            waits.append((time.perf_counter() - began) * 1e3)
    pipe.send(waits)


def in_a_process(work, *arguments):
    """The result of a coroutine function in another process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_child, args=(theirs, work, arguments))
    process.start()
    theirs.close()
    while not ours.poll(1):
        yield None
    yield ours.recv()
    process.join()


def _child(pipe, work, arguments):
    pipe.send(asyncio.run(work(*arguments)))


def resident_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class Bench:
    """An engine behind a server, and what the benches ask of it. Each returns a row of the results."""

    def __init__(self, args):
        from course_lib import Engine, EngineConfig, load_model
        from course_lib.serving import make_app

        self.args = args
        self.model, self.tokenizer = load_model(args.model)
        config = EngineConfig(num_blocks=4096, max_num_seqs=256)
        self.engine = Engine(self.model, config, tokenizer=self.tokenizer, trace=False)
        self.app, self.url = make_app(self.engine, "m", most_requests=4096), None

    def naive(self, asked):
        """{(prompt, max_tokens): text}."""
        from course_lib import SamplingParams
        from course_lib.decoding import generate_naive

        def text(prompt, n):
            params = SamplingParams(max_tokens=n, ignore_eos=True)
            return self.tokenizer.decode(generate_naive(self.model, self.tokenizer.encode(prompt), params))

        return {one: text(*one) for one in asked}

    def streams(self):
        number = self.args.streams
        expected = self.naive([(f"{PROMPTS[k % 8]} number {k}", 8 + k % 9) for k in range(number)])
        began = time.perf_counter()
        *_, (wrong, lost) = in_a_process(streams, self.url, expected)
        return dict(at_once=number, wrong=wrong, lost=lost, seconds=time.perf_counter() - began)

    def chaos(self):
        number = self.args.requests
        expected = self.naive([(prompt, n) for prompt in PROMPTS for n in (1, 5, 12)])
        before, tenth = self.engine.metrics.num_requests, 0
        memory, began = [resident_mb()], time.perf_counter()
        results = in_a_process(chaos, self.url, expected, number)
        while (counts := next(results)) is None:
            done = self.engine.metrics.num_requests - before
            if done >= (tenth + 1) * number // 10:
                tenth = 10 * done // number
                memory.append(resident_mb())
                print(f"  {done} requests taken by the engine, {memory[-1]:.0f} MB", flush=True)
        memory.append(resident_mb())
        lost = number - sum(counts.values()) + sum(n for kind, n in counts.items() if kind.startswith("LOST"))
        return dict(
            requests=number, **counts, wrong=counts.get("WRONG TEXT", 0), lost=lost,
            taken_by_the_engine=self.engine.metrics.num_requests - before, seconds=time.perf_counter() - began,
            memory_mb=dict(start=memory[0], middle=memory[len(memory) // 2], end=memory[-1], most=max(memory)),
        )  # fmt: skip

    def health(self):
        found = {}
        for num_streams in (0, 64):
            *_, waits = in_a_process(health, self.url, num_streams, 300)
            p50, p99 = np.percentile(waits, [50, 99])
            found[f"{num_streams} streams"] = dict(asked=len(waits), p50_ms=p50, p99_ms=p99)
        return found

    def left_behind(self):
        """What is still in use when all requests have ended."""
        until = time.monotonic() + 60
        while self.app.state.service.thread.num_open and time.monotonic() < until:
            time.sleep(0.01)
        self.engine.check_integrity()
        allocator = self.engine.allocator
        return dict(
            blocks=allocator.num_blocks, blocks_free=allocator.num_free, requests_open=len(self.engine.live.requests)
        )


def main():
    from course_lib.serving import BackgroundServer
    from course_lib.workload.bench.setting import processor

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="streams,chaos,health")
    parser.add_argument("--streams", type=int, default=512)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--model", default="tale-draft")
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    bench = Bench(args)
    found = dict(cpu=processor(), cores=os.cpu_count(), python=platform.python_version(), model=args.model,
                 date=date.today().isoformat(), load_before=round(os.getloadavg()[0], 1),
                 command=" ".join(["benchmarks/serving.py", *sys.argv[1:]]))  # fmt: skip
    with BackgroundServer(bench.app) as server:
        bench.url = server.url
        for name in args.only.split(","):
            row = getattr(bench, name)()
            found[name] = rounded(row | bench.left_behind())
            print(name, json.dumps(found[name]), flush=True)
    if args.record:
        known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps(known | found, indent=1) + "\n", encoding="utf-8")


def rounded(value):
    """Floats with four digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    return {key: rounded(one) for key, one in value.items()} if isinstance(value, dict) else value


if __name__ == "__main__":
    main()
