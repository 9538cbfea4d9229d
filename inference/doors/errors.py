"""What can be wrong with a request at a door, beyond the errors of serving and the engine.

RoundhouseError
├── NotServed               an extension of the Open Inference Protocol that is not supported
├── NotFound
│   └── NoDefaultModel
└── Invalid
    ├── BadBody
    │   ├── BadRequest          valid JSON, but not an inference request of the protocol
    │   ├── BadHeaderLength     Inference-Header-Content-Length does not fit the body
    │   ├── BadEncoding         a compressed body that cannot be unpacked, or an unknown encoding
    │   ├── NotAPrediction      readable, but not exactly one of the REST forms
    │   └── UnsupportedBody     a media type or encoding that the REST door does not read
    ├── BadParameter
    ├── UnfitForm               the form does not fit the version's inputs or outputs
    └── UnknownField            a field of the body that is not used
InvalidInput
└── BadTensor               datatype, shape and data of a tensor contradict each other
"""

from inference.errors import BadBody
from inference.tensors.errors import InvalidInput
from registry.errors import Invalid, NotFound, RoundhouseError


class NotServed(RoundhouseError):
    """Shared memory, trace and log settings are not supported here; send tensors in the body."""

    code = "not_served"


class NoDefaultModel(NotFound):
    """No Model answers such requests by default; name one in `model`."""

    code = "no_default_model"


class BadRequest(BadBody):
    """The body is not an inference request of the Open Inference Protocol."""

    code = "bad_request"


class BadHeaderLength(BadBody):
    """Inference-Header-Content-Length must be the length of the JSON part, and not more than the body."""

    code = "bad_header_length"


class BadEncoding(BadBody):
    """The body's Content-Encoding cannot be read; send gzip, deflate or none."""

    code = "bad_encoding"


class BadParameter(Invalid):
    """A parameter has an invalid value."""

    code = "bad_parameter"


class BadTensor(InvalidInput):
    """A tensor's datatype, shape and data do not fit together."""

    code = "bad_tensor"


class NotAPrediction(BadBody):
    """Send exactly one of `inputs`, `instances`, `features`, `data`, or the items of a task, such as `text` or `image`."""

    code = "not_a_prediction"


class UnsupportedBody(BadBody):
    """Send JSON, tensors in binary, a picture or a form, not compressed."""

    code = "unsupported_media_type"


class UnfitForm(Invalid):
    """This form does not fit the version's inputs or outputs; send `inputs`."""

    code = "unfit_form"


class UnknownField(Invalid):
    """The body has an unknown field; remove or rename it."""

    code = "unknown_field"

    def __init__(self, message: str | None = None, *, pointer: str = "#") -> None:
        super().__init__(message)
        self.members = {"errors": [{"pointer": pointer, "detail": str(self)}]}  # added to the problem
