"""Why a file does not pass the gate.

Invalid
└── GateRefused
    ├── NotOnnx             another kind of file, or none
    │   └── EmptyFile
    ├── Truncated           it breaks off
    ├── Malformed           it is no protobuf message that ONNX could mean
    ├── UnsupportedVersion  of the format or of an operator set
    ├── TooMuch             more than a limit allows
    │   ├── TooDeep
    │   └── NameTooLong
    ├── ExternalData        weights in other files
    │   ├── DataMissing     a file that the model names did not come with it
    │   ├── DataNotNamed    a file that came with the model, which does not name it
    │   └── BadDataPlace    the model does not say plainly where its weights are
    ├── ArchiveRefused      a zip that is more, or less, than one model with its weights
    ├── ZipMapRefused       no ZipMap to remove, or one that the model needs
    ├── MemoryMarker        weights at an address in this process
    ├── RuntimeConfig       settings of the runtime
    ├── CompiledModel       a compiled engine, or a path to one
    ├── UnknownOperator     an operator that is nobody's
    ├── RecursiveFunction
    ├── DuplicateName       one name for two things
    └── TensorRefused
        ├── TensorOverflow  sizes that no memory holds
        └── TensorMismatch  other bytes than the shape says
"""

from registry.errors import Invalid


class GateRefused(Invalid):
    """The file was refused before it was loaded."""

    code = "file_refused"


class NotOnnx(GateRefused):
    """The file is not an ONNX model; export the model as ONNX and send that."""

    code = "not_onnx"


class EmptyFile(NotOnnx):
    """The file is empty; send it again."""

    code = "empty_file"


class Truncated(GateRefused):
    """The file breaks off before its end; send it again."""

    code = "truncated_file"


class Malformed(GateRefused):
    """The file is damaged, or was made to confuse its readers; export it again."""

    code = "malformed_file"


class UnsupportedVersion(GateRefused):
    """The file is of a version that the runtime does not read; export it for a supported one."""

    code = "unsupported_version"


class TooMuch(GateRefused):
    """The file holds more than may be loaded."""

    code = "too_much"


class TooDeep(TooMuch):
    """Graphs or functions are nested deeper than may be loaded; flatten the model."""

    code = "too_deep"


class NameTooLong(TooMuch):
    """A name is longer than may be loaded; shorten it."""

    code = "name_too_long"


class ExternalData(GateRefused):
    """Weights lie outside the file; export the model as one file."""

    code = "external_data"


class DataMissing(ExternalData):
    """The model names a file with its weights that did not come with it; send that file along."""

    code = "data_missing"


class DataNotNamed(ExternalData):
    """A file came with the model that the model does not name; leave it out."""

    code = "data_not_named"


class BadDataPlace(ExternalData):
    """The model does not say plainly where its weights are; export it again."""

    code = "bad_data_place"


class ArchiveRefused(GateRefused):
    """The zip archive must hold one ONNX file and the files with its weights, and nothing else."""

    code = "archive_refused"


class ZipMapRefused(GateRefused):
    """The ZipMap cannot be removed; bring the file in as it is."""

    code = "zipmap_refused"


class MemoryMarker(GateRefused):
    """The file names an address in memory, which only the runtime may; export it again."""

    code = "memory_marker"


class RuntimeConfig(GateRefused):
    """The file carries settings of the runtime; remove them, the version's own settings decide."""

    code = "runtime_config"


class CompiledModel(GateRefused):
    """The file wraps what was compiled for one device; send the model it was compiled from."""

    code = "compiled_model"


class UnknownOperator(GateRefused):
    """The file asks for an operator that the runtime does not have; export it with standard operators."""

    code = "unknown_operator"


class RecursiveFunction(GateRefused):
    """A function of the file calls itself; export the model without recursion."""

    code = "recursive_function"


class DuplicateName(GateRefused):
    """One name stands for two things; give each its own."""

    code = "duplicate_name"


class TensorRefused(GateRefused):
    """A tensor of the file cannot be held; export the file again."""

    code = "bad_weights"


class TensorOverflow(TensorRefused):
    """A tensor of the file is negative or impossibly large; export the file again."""

    code = "weights_overflow"


class TensorMismatch(TensorRefused):
    """A tensor's shape and its bytes do not agree; export the file again."""

    code = "weights_mismatch"
