"""The server of `course serve` under many clients on this machine: nothing is lost, mixed up or left behind.

    python benchmarks/serving.py [--only streams,chaos,health] [--streams 512] [--requests 10000] [--model tale-draft]

    streams   So many streams at once, each of its own prompt, over HTTP from a process of its own. Each text must be
              that of generate_naive.
    chaos     So many requests, up to 64 at once: whole answers, clients that hang up at any moment, malformed bodies,
              unknown fields, prompts that are too long, and now and then all connections are cut and made anew. Whole
              answers must be right; at the end no block may be in use and no request open. The memory of the process is
              printed after each tenth.
    health    GET /health while 64 streams run, asked from a process of its own: how long the event loop waits for the
              engine's thread, which computes all the time. Beside it the same with no stream.

Greedy, float32. The server runs in this process and the clients in another, so both can use a core.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import time

import httpx
import numpy as np

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
    """All streams of {(prompt, max_tokens): text} at once. Returns the number of wrong texts."""
    async with client_of() as client:
        found = await asyncio.gather(*[text_of(client, url, *asked) for asked in expected])
    return sum(one != right for one, right in zip(found, expected.values()))


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
            kind = "cut"
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


def main():
    from course_lib import Engine, EngineConfig, SamplingParams, load_model
    from course_lib.decoding import generate_naive
    from course_lib.serving import BackgroundServer, make_app

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="streams,chaos,health")
    parser.add_argument("--streams", type=int, default=512)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--model", default="tale-draft")
    args = parser.parse_args()
    model, tokenizer = load_model(args.model)

    def naive(prompt, n):
        ids = generate_naive(model, tokenizer.encode(prompt), SamplingParams(max_tokens=n, ignore_eos=True))
        return tokenizer.decode(ids)

    engine = Engine(model, EngineConfig(num_blocks=4096, max_num_seqs=256), tokenizer=tokenizer, trace=False)
    app = make_app(engine, "m", most_requests=4096)
    with BackgroundServer(app) as server:
        if "streams" in args.only:
            expected = {(f"{PROMPTS[k % 8]} number {k}", 8 + k % 9): None for k in range(args.streams)}
            expected = {asked: naive(*asked) for asked in expected}
            began = time.perf_counter()
            *_, wrong = in_a_process(streams, server.url, expected)
            took = time.perf_counter() - began
            print(f"streams: {args.streams} at once, {wrong} wrong, {took:.1f} s")
        if "chaos" in args.only:
            expected = {(prompt, n): naive(prompt, n) for prompt in PROMPTS for n in (1, 5, 12)}
            began, before, tenth = time.perf_counter(), engine.metrics.num_requests, 0
            results = in_a_process(chaos, server.url, expected, args.requests)
            while (counts := next(results)) is None:
                done = engine.metrics.num_requests - before
                if done >= (tenth + 1) * args.requests // 10:
                    tenth = 10 * done // args.requests
                    print(f"  {done} requests taken by the engine, {resident_mb():.0f} MB", flush=True)
            print(f"chaos: {counts}, {time.perf_counter() - began:.0f} s, {resident_mb():.0f} MB")
        if "health" in args.only:
            for num_streams in (0, 64):
                *_, waits = in_a_process(health, server.url, num_streams, 300)
                p50, p99 = np.percentile(waits, [50, 99])
                print(f"health: {num_streams} streams, {len(waits)} asked, p50 {p50:.1f} ms, p99 {p99:.1f} ms")
        while app.state.service.thread.num_open:
            time.sleep(0.01)
        engine.check_integrity()
        used = engine.allocator.num_blocks - engine.allocator.num_free
        print(f"left behind: {used} blocks in use, {len(engine.live.requests)} requests")


if __name__ == "__main__":
    main()
