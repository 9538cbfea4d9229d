"""What can be wrong with a request of the protocol, beyond what serving and engine say.

RoundhouseError
├── NotServed               an extension of the protocol that this server lacks
└── Invalid
    ├── BadBody
    │   ├── BadRequest          readable JSON that is no inference request
    │   ├── BadHeaderLength     Inference-Header-Content-Length does not fit the body
    │   └── BadEncoding         a compressed body that cannot be unpacked, or an encoding we do not know
    └── BadParameter
InvalidInput
└── BadTensor               datatype, shape and data of one tensor contradict each other
"""

from inference.errors import BadBody
from inference.tensors.errors import InvalidInput
from registry.errors import Invalid, RoundhouseError


class NotServed(RoundhouseError):
    """This server keeps no shared memory and has no trace or log settings; send tensors in the body."""

    code = "not_served"


class BadRequest(BadBody):
    """The body is not an inference request of the Open Inference Protocol."""

    code = "bad_request"


class BadHeaderLength(BadBody):
    """Inference-Header-Content-Length must be the length of the JSON part, which the body must hold."""

    code = "bad_header_length"


class BadEncoding(BadBody):
    """The body's Content-Encoding cannot be read; send gzip, deflate or none."""

    code = "bad_encoding"


class BadParameter(Invalid):
    """A parameter has a value that it cannot have."""

    code = "bad_parameter"


class BadTensor(InvalidInput):
    """A tensor's datatype, shape and data do not fit together."""

    code = "bad_tensor"
