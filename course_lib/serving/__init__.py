"""The engine behind an address that OpenAI clients can talk to: `course serve`.

    client  <-- HTTP -->  app.py            routes, API key, limits            the event loop's thread
                          protocol.py       a body becomes a prompt and SamplingParams, or an error
                          answers.py        outputs become completions, whole or as server-sent events
                          engine_thread.py  an inbox to the engine, and its outputs back      the engine's thread
                          prometheus.py     /metrics, in vLLM's names
                          request_log.py    what happens to each request, for a view
                          server.py         uvicorn: starts, drains and ends it

The event loop never waits for the engine: it puts a message into the inbox and is woken when outputs are there.
Source: vLLM's AsyncLLM and its API server; the API is OpenAI's.
"""

from course_lib.lazy import lazily

__all__, __getattr__, __dir__ = lazily(
    __name__,
    {
        "engine_thread": "EngineThread",
        "app": "make_app",
        "server": "BackgroundServer serve",
        "request_log": "RequestLog",
    },
)
