"""The map: where each mechanism is in the course, in vLLM and in SGLang."""
