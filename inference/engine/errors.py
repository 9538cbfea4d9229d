"""What can go wrong in the engine.

InferenceError (inference.tensors.errors)
├── Overloaded              refused at the door
├── DeadlineExceeded        not run, or not run in time
├── Cancelled               the caller went away
├── RunFailed               the runtime refused this input
│   ├── RunTimedOut         ended at the soft limit
│   ├── RunCrashed          the version ended the process of its own that ran it
│   ├── OutOfMemory         the device had no room for the run
│   ├── OutputNotText       an output that the runtime cannot hand out
│   └── OutputTooLarge      more bytes than one answer of the version may have
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

from inference.tensors.errors import InferenceError


class Overloaded(InferenceError):
    """More work is waiting than this version may hold; try again shortly."""

    code = "overloaded"
    retryable = True


class DeadlineExceeded(InferenceError):
    """The answer was not ready before the request's deadline."""

    code = "deadline_exceeded"
    retryable = True


class Cancelled(InferenceError):
    """The caller withdrew the request before it ran."""

    code = "cancelled"


class RunFailed(InferenceError):
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


class OutputTooLarge(RunFailed):
    """The answer has more bytes than one answer may have; ask for less at once, or for other outputs."""

    code = "output_too_large"


class SlotLost(InferenceError):
    """The batch this request was in was lost before it finished; try again."""

    code = "slot_lost"
    retryable = True


class EngineStopped(InferenceError):
    """This process is shutting down; try again."""

    code = "engine_stopped"
    retryable = True


class RunStuck(InferenceError):
    """A run of this version cannot be ended, so this process is being replaced; try again."""

    code = "run_stuck"
    retryable = True


class VersionBroken(InferenceError):
    """This version has ended processes that ran it; it answers again when a person has cleared it."""

    code = "version_broken"


class NotLoaded(InferenceError):
    """This version is not in memory here; load it first."""

    code = "not_loaded"
    retryable = True


class StillLoading(InferenceError):
    """This version is being loaded; try again shortly."""

    code = "loading"
    retryable = True


class LoadFailed(InferenceError):
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
