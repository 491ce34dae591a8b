"""Requests of a server as they stream. `from course_lib.viz import request_streams`."""
