"""Why the file scan refuses a file, and how names from files are quoted.

Invalid
└── FileRefused
    ├── NotOnnx             another kind of file
    │   └── EmptyFile
    ├── Truncated           the end is missing
    ├── Malformed           not a valid ONNX protobuf message
    ├── UnsupportedVersion  of the format or of an operator set
    ├── TooMuch             more than a limit allows
    │   ├── TooDeep
    │   └── NameTooLong
    ├── ExternalData        weights in other files
    │   ├── DataMissing     a file that the model names was not sent
    │   ├── DataNotNamed    a file was sent that the model does not name
    │   └── BadDataLocation the model does not say clearly where its weights are
    ├── ArchiveRefused      a zip that is damaged, or has not exactly what it should have
    ├── ZipMapRefused       no ZipMap to remove, or one the model needs
    ├── MemoryMarker        weights at an address in this process
    ├── RuntimeConfig       settings of the runtime
    ├── CompiledModel       a compiled engine, or a path to one
    ├── UnknownOperator     neither built into the runtime nor defined in the file
    ├── RecursiveFunction
    ├── DuplicateName       one name for two things
    └── TensorRefused
        ├── TensorOverflow  impossible sizes
        └── TensorMismatch  bytes that do not fit the shape
"""

from registry.errors import Invalid


class FileRefused(Invalid):
    """The file was refused before it was loaded."""

    code = "file_refused"


class NotOnnx(FileRefused):
    """The file is not an ONNX model; export the model as ONNX and send that."""

    code = "not_onnx"


class EmptyFile(NotOnnx):
    """The file is empty; send it again."""

    code = "empty_file"


class Truncated(FileRefused):
    """The file is incomplete; send it again."""

    code = "truncated_file"


class Malformed(FileRefused):
    """The file is damaged, or was crafted to confuse parsers; export it again."""

    code = "malformed_file"


class UnsupportedVersion(FileRefused):
    """The runtime does not support the file's version; export it for a supported one."""

    code = "unsupported_version"


class TooMuch(FileRefused):
    """The file exceeds a limit."""

    code = "too_much"


class TooDeep(TooMuch):
    """Graphs or functions are nested too deeply; flatten the model."""

    code = "too_deep"


class NameTooLong(TooMuch):
    """A name is too long; shorten it."""

    code = "name_too_long"


class ExternalData(FileRefused):
    """Weights are outside the file; export the model as one file."""

    code = "external_data"


class DataMissing(ExternalData):
    """The model names a file with weights that was not sent; send that file as well."""

    code = "data_missing"


class DataNotNamed(ExternalData):
    """A file was sent that the model does not name; leave it out."""

    code = "data_not_named"


class BadDataLocation(ExternalData):
    """The model does not say clearly where its weights are; export it again."""

    code = "bad_data_place"


class ArchiveRefused(FileRefused):
    """The zip archive is damaged, or does not have exactly what it should have; create it again."""

    code = "archive_refused"


class ZipMapRefused(FileRefused):
    """The ZipMap cannot be removed; import the file as it is."""

    code = "zipmap_refused"


class MemoryMarker(FileRefused):
    """The file contains a memory address, which only the runtime may use; export it again."""

    code = "memory_marker"


class RuntimeConfig(FileRefused):
    """The file contains runtime settings; remove them and use the version's serving settings."""

    code = "runtime_config"


class CompiledModel(FileRefused):
    """The file wraps a model compiled for one device; send the model it was compiled from."""

    code = "compiled_model"


class UnknownOperator(FileRefused):
    """The file uses an operator that the runtime does not have; export it with standard operators."""

    code = "unknown_operator"


class RecursiveFunction(FileRefused):
    """A function in the file calls itself; export the model without recursion."""

    code = "recursive_function"


class DuplicateName(FileRefused):
    """A name is used twice; make names unique."""

    code = "duplicate_name"


class TensorRefused(FileRefused):
    """A tensor in the file is not usable; export the file again."""

    code = "bad_weights"


class TensorOverflow(TensorRefused):
    """A tensor in the file has a negative or impossibly large size; export the file again."""

    code = "weights_overflow"


class TensorMismatch(TensorRefused):
    """A tensor's shape and its bytes do not agree; export the file again."""

    code = "weights_mismatch"


_MAX_QUOTED = 60


def quote_name(name: bytes | str) -> str:
    """Quote an untrusted name for a sentence, a log line or a page: short and printable."""
    text = name[: 4 * _MAX_QUOTED + 4].decode(errors="replace") if isinstance(name, bytes) else name
    safe = _replace_unprintable(text)
    return f"'{safe[:_MAX_QUOTED]}…'" if len(safe) > _MAX_QUOTED else f"'{safe}'"


def printable(name: str) -> str:
    """Make an untrusted name safe for every page and database."""
    return _replace_unprintable(name)[:255]


def _replace_unprintable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
