"""What `course serve` does: loads a model, makes an engine, serves."""

from course_lib.engine import Engine
from course_lib.errors import ParameterError

from .app import make_app
from .server import serve


def run(name, config, served_name, host, port, *, api_key, most_requests, most_bytes):
    """Serves until a signal comes. Raises CourseError for what cannot be loaded, taken or listened to."""
    for option, value, least in (("max-requests", most_requests, 1), ("max-body", most_bytes, 1), ("port", port, 0)):
        if value < least:
            raise ParameterError(f"--{option} is {value}, but it is at least {least}.")
    if served_name is not None and not served_name.strip():
        raise ParameterError("--served-model-name is empty. Leave it out, and the model keeps its name.")
    if not host.strip():  # to a socket it means every network
        raise ParameterError("--host is empty. Leave it out to listen on this machine only; 0.0.0.0 is every network.")
    if port > 65_535:
        raise ParameterError(f"--port is {port}, and ports go up to 65535. Choose a lower one; 0 is any that is free.")
    if api_key is not None and not (api_key and api_key.isascii() and api_key.isprintable() and " " not in api_key):
        raise ParameterError("--api-key is empty or holds what no HTTP header can have. Take letters and digits.")
    with Engine(name, config, trace=False) as engine:
        served_name = served_name or name
        app = make_app(engine, served_name, api_key=api_key, most_requests=most_requests, most_bytes=most_bytes)
        print(f"{served_name}: {engine.allocator.num_blocks:,} blocks of {config.block_size} tokens.", flush=True)
        serve(app, host, port, on_start=lambda url: print(f"Listening at {url}/v1", flush=True))
