"""The engine's errors.

InferenceError (inference.tensors.errors)
├── Overloaded              refused before it was queued
├── DeadlineExceeded        did not run, or did not finish in time
├── Cancelled               the caller hung up
├── RunFailed               the runtime refused this input
│   ├── RunTimedOut         ended at the soft limit
│   ├── RunCrashed          the version crashed the disposable process that ran it
│   ├── OutOfMemory         the device has no memory for the run
│   ├── OutputNotText       the runtime cannot return an output as text
│   └── OutputTooLarge      more bytes than one answer of the version may have
├── SlotLost                the run died or its lease ended
├── EngineStopped           draining or closed
├── RunStuck                a run passed its hard limit; the process must be replaced
├── VersionBroken           it crashed processes that ran it; a person has to clear it
├── NotLoaded               no session, and no plan to load one
├── StillLoading            the load continues, but the caller's time is up
└── LoadFailed
    ├── CannotCarry         inputs that no caller could send
    ├── LocaleMissing       the machine lacks a locale that the file needs
    ├── NotProbed           the file has not passed the probe with these options
    ├── WarmUpFailed
    └── OverBudget          it does not fit in the device's memory budget
"""

from inference.tensors.errors import InferenceError


class Overloaded(InferenceError):
    """Too many requests are waiting for this version; try again shortly."""

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
    """The model failed on this input."""

    code = "run_failed"


class RunTimedOut(RunFailed):
    """The model ran longer than its time limit and was stopped."""

    code = "run_timed_out"


class RunCrashed(RunFailed):
    """The version crashed the process that ran it."""

    code = "run_crashed"


class OutOfMemory(RunFailed):
    """The device does not have enough memory for a run of this size; send less at a time."""

    code = "out_of_memory"


class OutputNotText(RunFailed):
    """An output holds text that is not valid UTF-8, which the runtime cannot return; request other outputs."""

    code = "output_not_text"


class OutputTooLarge(RunFailed):
    """The answer is larger than allowed; request less at a time, or other outputs."""

    code = "output_too_large"


class SlotLost(InferenceError):
    """The batch with this request was lost before it finished; try again."""

    code = "slot_lost"
    retryable = True


class EngineStopped(InferenceError):
    """This process is shutting down; try again."""

    code = "engine_stopped"
    retryable = True


class RunStuck(InferenceError):
    """A run of this version cannot be stopped, so this process is being replaced; try again."""

    code = "run_stuck"
    retryable = True


class VersionBroken(InferenceError):
    """This version has crashed processes that ran it; it answers again once a person has cleared it."""

    code = "version_broken"


class NotLoaded(InferenceError):
    """This version is not loaded here; load it first."""

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
    """The file has inputs that cannot be sent; export it with plain tensors."""

    code = "cannot_carry"


class LocaleMissing(LoadFailed):
    """The machine lacks a locale that the file needs; install it."""

    code = "locale_missing"


class NotProbed(LoadFailed):
    """This file has not passed the load probe with these options and this runtime."""

    code = "not_probed"


class WarmUpFailed(LoadFailed):
    """The version loaded, but a warm-up run failed."""

    code = "warm_up_failed"


class OverBudget(LoadFailed):
    """The version does not fit in the device's memory budget alongside the versions that must stay loaded."""

    code = "over_budget"
    retryable = True
