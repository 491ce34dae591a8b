"""The errors a learner can meet. Each message names the fact, what it means, and the next step."""


class CourseError(Exception):
    """Base of every error that a user of the course can cause."""


class ModelError(CourseError):
    """A model folder, hub id, configuration or weight file that cannot be used."""


class ParameterError(CourseError, ValueError):
    """An argument with a value that makes no sense; says which values do."""


class CacheFull(CourseError):
    """A step brings more tokens than a cache has room for; nothing of it was written."""


class LedgerError(CourseError):
    """A call that the ledger of blocks refuses: a block freed twice, an id that does not exist, a table that is gone."""


class IntegrityError(CourseError):
    """The ledger contradicts itself: one of its invariants does not hold. A defect in whatever kept the books."""


class OutOfBounds(CourseError, IndexError):
    """A program of a Triton kernel touches memory outside its tensor; found by record_accesses before it happens.

    kernel, program (its ids), op (load | store | atomic), tensor (its name, or None for an address of nobody), offsets (in
    numbers from the tensor's first one, sorted).
    """

    def __init__(self, message, kernel=None, program=None, op=None, tensor=None, offsets=()):
        super().__init__(message)
        self.kernel, self.program, self.op, self.tensor, self.offsets = kernel, program, op, tensor, list(offsets)
