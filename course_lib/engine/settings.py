"""Settings of an engine as texts of a command line: --engine max_num_seqs=32."""

import json
from dataclasses import fields

from course_lib.errors import ParameterError

from .config import EngineConfig

MOST = {"num_blocks": 10_000_000, "block_size": 65_536, "max_num_seqs": 65_536, "max_num_batched_tokens": 10_000_000}
"""What is typed larger is a mistake, and making its lists would fill the memory."""


def parse_setting(text):
    """A value of --engine: a number, true, false, none, or the text itself."""
    named = {"true": True, "false": False, "none": None}
    if text.lower() in named:
        return named[text.lower()]
    try:
        return json.loads(text)
    except ValueError:
        return text


def read_engine_config(settings, **defaults):
    """The EngineConfig of texts such as "max_num_seqs=32". defaults: of settings that no text names."""
    known, found = [field.name for field in fields(EngineConfig)], dict(defaults)
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            raise ParameterError(f"--engine is {text!r}, but it is NAME=VALUE; the names are {', '.join(known)}.")
        found[name] = parse_setting(value)
    config = EngineConfig(**found)
    for name, most in MOST.items():
        if (getattr(config, name) or 0) > most:
            raise ParameterError(
                f"--engine {name}={getattr(config, name)} is more than {most:,}. Choose a smaller one."
            )
    return config
