"""The errors that a learner can meet. Each message names the fact, what it means, and the next step."""


class CourseError(Exception):
    """Base of every error that a user of the course can cause."""


class ModelError(CourseError):
    """A model folder, hub id, configuration or weight file that cannot be used."""


class ParameterError(CourseError, ValueError):
    """An argument with a value that is not allowed; the message says which values are."""


class NotHere(CourseError):
    """This system has no package or no call for it: Triton outside Linux, several processes on Windows.

    In a lesson the cell ends with the message, and the cells below run: see machine/skipped_cells.py.
    """


class CacheFull(CourseError):
    """A step brings more tokens than the cache has room for. Nothing of the step was written."""


class LedgerError(CourseError):
    """A call that the ledger of blocks refuses: a block freed twice, an unknown block id, a table already freed."""


class IntegrityError(CourseError):
    """An invariant of the ledger does not hold: there is a bug in the code that keeps it."""


class ParallelError(CourseError):
    """A process of a model over several processes has ended or broken off, so the engine cannot go on."""


class OutOfBounds(CourseError, IndexError):
    """A program of a Triton kernel accesses memory outside its tensor. record_accesses finds it before it happens.

    kernel: its name. program: its ids. op: load | store | atomic. tensor: its name, or None for an address in no tensor
    of the kernel. offsets: in elements from the first one of the tensor, sorted.
    """

    def __init__(self, message, kernel=None, program=None, op=None, tensor=None, offsets=()):
        super().__init__(message)
        self.kernel, self.program, self.op, self.tensor, self.offsets = kernel, program, op, tensor, list(offsets)
