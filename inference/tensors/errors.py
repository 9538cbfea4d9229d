"""What can go wrong in the libraries of inference, and what can be wrong with an input.

InferenceError
└── InvalidInput            the caller's tensors do not fit the signature
    ├── UnknownTensor
    ├── UnknownOutput
    ├── MissingTensor
    ├── WrongDtype
    ├── WrongRank
    ├── WrongDimension
    └── TooLarge            more rows or bytes than one request may hold
"""

from typing import ClassVar


class InferenceError(Exception):
    """There is no answer."""

    code: ClassVar[str] = "engine_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__ or self.code)


class InvalidInput(InferenceError):
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
