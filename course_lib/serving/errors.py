"""The errors of the OpenAI API: a status code, and a JSON object that says what is wrong and with which parameter.

{"error": {"message": "...", "type": "invalid_request_error", "param": "max_tokens", "code": null}}
"""

from course_lib.errors import CourseError

TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


class APIError(CourseError):
    """A request that is answered with an error. param: the field of the body that is wrong. headers: of the answer."""

    def __init__(self, status, message, *, param=None, code=None, headers=None):
        super().__init__(message)
        self.status, self.param, self.code, self.headers = status, param, code, dict(headers or {})

    def as_dict(self):
        """The body of the answer."""
        kind = TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


def refuse(param, message, *, code=None):
    """Raises the APIError for a field of the body that cannot be taken."""
    raise APIError(400, message, param=param, code=code)
