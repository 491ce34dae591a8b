"""A server of tale-draft for the tests of a file, and what it must answer."""

from functools import cache

import httpx
import openai

from course_lib import Engine, EngineConfig, SamplingParams, load_model
from course_lib.decoding import generate_naive
from course_lib.models.chat import ChatTemplates
from course_lib.serving import BackgroundServer, make_app

GREEDY = {"model": "small", "temperature": 0, "extra_body": {"ignore_eos": True}}
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}Once"


@cache
def model_and_tokenizer():
    model, tokenizer = load_model("tale-draft")
    tokenizer.chat_templates = ChatTemplates({"default": TEMPLATE})
    return model, tokenizer


def make_server(engine_config=EngineConfig(num_blocks=256, max_num_seqs=16), **more):
    """A BackgroundServer that was not started. more: of make_app."""
    model, tokenizer = model_and_tokenizer()
    return BackgroundServer(make_app(Engine(model, engine_config, tokenizer=tokenizer, trace=False), "small", **more))


def openai_client(server):
    """The client of the openai package for a server; as a context manager it closes."""
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0)


def engine_of(server):
    """The Engine of a server."""
    return server.app.state.service.engine


def is_idle(server):
    """Whether nothing is left of any request: no block in use, no request open."""
    engine, thread = engine_of(server), server.app.state.service.thread
    return (
        thread.num_open == 0 and not engine.live.requests and engine.allocator.num_free == engine.allocator.num_blocks
    )


@cache
def naive(prompt, max_tokens):
    """(token ids, text) that greedy decoding of a prompt gives."""
    model, tokenizer = model_and_tokenizer()
    ids = tokenizer.encode(prompt) if isinstance(prompt, str) else list(prompt)
    found = generate_naive(model, ids, SamplingParams(max_tokens=max_tokens, ignore_eos=True))
    return found, tokenizer.decode(found)


def body(prompt="Once upon a time", **more):
    """A body of /v1/completions: greedy, 8 tokens."""
    return {"model": "small", "prompt": prompt, "temperature": 0, "max_tokens": 8, "ignore_eos": True, **more}


def post(server, data=None, path="/v1/completions", **more):
    """The answer to a POST."""
    return httpx.post(server.url + path, json=data, timeout=60, **more)
