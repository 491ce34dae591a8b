"""LLM inference, page by page: one small engine, and the lessons that build it.

Names arrive on first use, so that `import course_lib` stays quick and pulls in
neither Jupyter nor Triton nor transformers.
"""

from .lazy import lazily

__all__, __getattr__, __dir__ = lazily(
    __name__,
    {
        "machine.device": "setup",
        "models": "load_model",
        "decoding": "SamplingParams",
        "engine": "Engine EngineConfig",
        "practice": "assemble check guesses hint load_parts solution progress predict workbook",
        "source.show": "show",
    },
)
