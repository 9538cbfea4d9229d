"""What can be wrong with a request to the REST door, beyond what serving and engine say.

Invalid
├── BadBody
│   ├── NotAPrediction      readable, but not exactly one of the forms that predict knows
│   └── UnsupportedBody     a media type or an encoding that is not read here
├── UnfitForm               the form cannot say what this version takes or gives
└── UnknownField            a field of the body that nothing would read
"""

from inference.errors import BadBody
from registry.errors import Invalid


class NotAPrediction(BadBody):
    """Send a JSON object with exactly one of `inputs`, `instances`, `features` and `data`."""

    code = "not_a_prediction"


class UnsupportedBody(BadBody):
    """Send application/json or application/octet-stream, not compressed."""

    code = "unsupported_media_type"


class UnfitForm(Invalid):
    """This form cannot say what the version takes or gives; send `inputs`."""

    code = "unfit_form"


class UnknownField(Invalid):
    """The body has a field that is not read here; remove or rename it."""

    code = "unknown_field"

    def __init__(self, message: str | None = None, *, pointer: str = "#") -> None:
        super().__init__(message)
        self.members = {"errors": [{"pointer": pointer, "detail": str(self)}]}  # go into the problem
