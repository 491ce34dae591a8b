"""Right answers to 18.your_policy, written differently."""

from course_lib.engine import Policy


def work(request):
    return request.num_prompt_tokens / 4 + request.params.max_tokens


class AtMostFourOvertake(Policy):
    """The least work first; when four have passed the oldest request, the oldest goes."""

    def __init__(self):
        self.waiting, self.passed = [], 0

    def push(self, request, *, returning=False):
        self.waiting.append(request)
        self.waiting.sort(key=lambda other: other.number)

    def peek(self):
        if not self.waiting or self.passed >= 4:
            return self.waiting[0] if self.waiting else None
        return min(self.waiting, key=work)

    def pop(self):
        request = self.peek()
        self.passed = 0 if request is self.waiting[0] else self.passed + 1
        self.waiting.remove(request)
        return request

    def remove(self, request):
        self.waiting.remove(request)

    def __len__(self):
        return len(self.waiting)


class ResponseRatio(AtMostFourOvertake):
    """The highest ratio of waiting to work first. The clock is the newest arrival."""

    def __init__(self):
        super().__init__()
        self.now = 0.0

    def push(self, request, *, returning=False):
        super().push(request, returning=returning)
        self.now = max(self.now, request.arrival)

    def peek(self):
        def ratio(request):
            return (self.now - request.arrival + 0.2) / (work(request) + 20)

        return max(self.waiting, key=ratio, default=None)

    def pop(self):
        request = self.peek()
        self.waiting.remove(request)
        return request
