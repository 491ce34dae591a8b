"""The engine, step by step: a row for each request, the token budget above, the memory below."""
