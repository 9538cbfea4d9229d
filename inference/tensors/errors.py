"""The base class of all errors in the inference libraries, and the errors about inputs.

InferenceError
└── InvalidInput            tensors that do not fit the signature
    ├── UnknownTensor
    ├── UnknownOutput
    ├── MissingTensor
    ├── WrongDtype
    ├── WrongRank
    ├── WrongDimension
    └── RequestTooLarge     more rows or bytes than one request may have
"""

from typing import ClassVar


class InferenceError(Exception):
    """The model did not answer."""

    code: ClassVar[str] = "engine_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__ or self.code)


class InvalidInput(InferenceError):
    """The input does not fit the model's signature."""

    code = "invalid_input"
    pointer = ""  # JSON pointer into the request body; a door with other field names sets its own

    def __init__(
        self, message: str | None = None, *, field: str = "", expected: str = "", got: str = ""
    ) -> None:
        self.field, self.expected, self.got = field, expected, got
        super().__init__(message)


class UnknownTensor(InvalidInput):
    """The model has no input with this name."""

    code = "unknown_tensor"


class UnknownOutput(InvalidInput):
    """The model has no output with this name."""

    code = "unknown_output"
    pointer = "#/outputs"


class MissingTensor(InvalidInput):
    """A required input is missing."""

    code = "missing_tensor"


class WrongDtype(InvalidInput):
    """The model's type cannot hold the input's values without loss."""

    code = "wrong_dtype"


class WrongRank(InvalidInput):
    """The input has a different number of dimensions than the model expects."""

    code = "wrong_rank"


class WrongDimension(InvalidInput):
    """A dimension of the input differs from the model's fixed size."""

    code = "wrong_dimension"


class RequestTooLarge(InvalidInput):
    """The request has more rows or bytes than this version accepts in one request; split it."""

    code = "too_large"
