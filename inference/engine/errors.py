"""What can go wrong in the engine.

EngineError
├── InvalidInput            the caller's tensors do not fit the signature
│   ├── UnknownTensor
│   ├── UnknownOutput
│   ├── MissingTensor
│   ├── WrongDtype
│   ├── WrongRank
│   ├── WrongDimension
│   └── TooLarge            more rows or bytes than one request may hold
├── Overloaded              refused at the door
├── DeadlineExceeded        not run, or not run in time
├── Cancelled               the caller went away
├── RunFailed               the runtime refused this input
│   ├── RunTimedOut         ended at the soft limit
│   ├── RunCrashed          the version ended the process of its own that ran it
│   ├── OutOfMemory         the device had no room for the run
│   └── OutputNotText       an output that the runtime cannot hand out
├── SlotLost                the holder of the slot died or its lease ended
├── EngineStopped           draining or closed
├── RunStuck                a run passed its hard limit; the process is to be replaced
├── VersionBroken           it ended processes that ran it; a person has to clear it
├── NotLoaded               no session, and nobody said how to load one
├── StillLoading            the load goes on, the caller's time is over
└── LoadFailed
    ├── CannotCarry         inputs of a kind that no caller could send
    ├── LocaleMissing       the machine lacks a locale that the file names
    ├── NotProbed           the file has not passed the probe for these options
    ├── WarmUpFailed
    └── OverBudget          the device's byte budget cannot hold it
"""

from typing import ClassVar


class EngineError(Exception):
    """The engine could not answer."""

    code: ClassVar[str] = "engine_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__ or self.code)


class InvalidInput(EngineError):
    """The input does not fit the model's signature."""

    code = "invalid_input"
    pointer = ""  # where in the caller's body; a door says it that calls its fields otherwise

    def __init__(
        self, message: str | None = None, *, field: str = "", expected: str = "", got: str = ""
    ) -> None:
        self.field, self.expected, self.got = field, expected, got
        super().__init__(message)


class UnknownTensor(InvalidInput):
    """The model has no input of this name."""

    code = "unknown_tensor"


class UnknownOutput(InvalidInput):
    """The model has no output of this name."""

    code = "unknown_output"
    pointer = "#/outputs"


class MissingTensor(InvalidInput):
    """A required input is missing."""

    code = "missing_tensor"


class WrongDtype(InvalidInput):
    """The input's values cannot be held by the model's type without loss."""

    code = "wrong_dtype"


class WrongRank(InvalidInput):
    """The input has another number of dimensions than the model expects."""

    code = "wrong_rank"


class WrongDimension(InvalidInput):
    """One dimension of the input differs from the model's fixed size."""

    code = "wrong_dimension"


class TooLarge(InvalidInput):
    """The request holds more rows or bytes than this version takes at once; send it in parts."""

    code = "too_large"


class Overloaded(EngineError):
    """More work is waiting than this version may hold; try again shortly."""

    code = "overloaded"
    retryable = True


class DeadlineExceeded(EngineError):
    """The answer was not ready before the request's deadline."""

    code = "deadline_exceeded"
    retryable = True


class Cancelled(EngineError):
    """The caller withdrew the request before it ran."""

    code = "cancelled"


class RunFailed(EngineError):
    """The model could not be run on this input."""

    code = "run_failed"


class RunTimedOut(RunFailed):
    """The model ran longer than its soft limit and was ended."""

    code = "run_timed_out"


class RunCrashed(RunFailed):
    """The version ended the process that ran it."""

    code = "run_crashed"


class OutOfMemory(RunFailed):
    """The device has no room for a run of this size; send less at once."""

    code = "out_of_memory"


class OutputNotText(RunFailed):
    """An output holds text that is not valid UTF-8, which the runtime cannot hand out; ask for other outputs."""

    code = "output_not_text"


class SlotLost(EngineError):
    """The batch this request was in was lost before it finished; try again."""

    code = "slot_lost"
    retryable = True


class EngineStopped(EngineError):
    """This process is shutting down; try again."""

    code = "engine_stopped"
    retryable = True


class RunStuck(EngineError):
    """A run of this version cannot be ended, so this process is being replaced; try again."""

    code = "run_stuck"
    retryable = True


class VersionBroken(EngineError):
    """This version has ended processes that ran it; it answers again when a person has cleared it."""

    code = "version_broken"


class NotLoaded(EngineError):
    """This version is not in memory here; load it first."""

    code = "not_loaded"
    retryable = True


class StillLoading(EngineError):
    """This version is being loaded; try again shortly."""

    code = "loading"
    retryable = True


class LoadFailed(EngineError):
    """The version could not be loaded."""

    code = "load_failed"


class CannotCarry(LoadFailed):
    """The file takes inputs of a kind that cannot be sent; export it with plain tensors."""

    code = "cannot_carry"


class LocaleMissing(LoadFailed):
    """The machine lacks a locale that the file names; install it."""

    code = "locale_missing"


class NotProbed(LoadFailed):
    """This file has not passed the load probe with these options on this runtime."""

    code = "not_probed"


class WarmUpFailed(LoadFailed):
    """The version loaded, but a warm-up run failed."""

    code = "warm_up_failed"


class OverBudget(LoadFailed):
    """The device's memory budget cannot hold this version beside what must stay."""

    code = "over_budget"
    retryable = True
