"""The 40 hostile files, made when a test asks for them, each with the code that it must be refused with."""

import io
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import flatbuffers
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.support import onnx_models
from tests.unit.registry.intake.onnx_bytes import (
    a_file,
    a_function,
    a_model,
    external,
    nested,
    with_raw_graph,
)

SECRET = "outside-secret"  # the file beside the model that none may read
TOUCHED = "was-here"  # the file that a payload would make
Make = Callable[[Path], bytes | Path]


@dataclass(frozen=True)
class Hostile:
    name: str
    code: str
    names: str  # what the sentence must speak of
    make: Make
    by: str = "gate"
    file_name: str = "model.onnx"

    def write(self, folder: Path) -> Path:
        made = self.make(folder)
        if isinstance(made, Path):
            return made
        path = folder / self.file_name
        path.write_bytes(made)
        return path


def _outside(folder):
    """What a hostile file would like to read: outside its folder."""
    path = folder.parent / SECRET
    path.write_bytes(bytes(16))
    return path


def _external(location, **entries):
    def make(folder):
        secret = _outside(folder)
        return a_file(weights=[external(location.format(secret=secret), **entries)])

    return make


def _linked(link):
    def make(folder):
        link(_outside(folder), folder / "weights.bin")
        return a_file(weights=[external("weights.bin", offset="0", length="16")])

    return make


def _sparse_external(folder):
    _outside(folder)
    indices = numpy_helper.from_array(np.array([0, 1, 2, 3]), "places")
    sparse = helper.make_sparse_tensor(external(f"../{SECRET}"), indices, [16])
    return a_file(sparse=[sparse])


def _memory_marker(folder):
    return a_file(weights=[external("*/_ORT_MEM_ADDR_/*", offset="4096", length="16")])


def _node_of(domain, operator, **more):
    def make(folder):
        node = helper.make_node(operator, ["x"], ["z"], domain=domain, **more)
        return a_file(node, opsets=(("", 17), (domain, 1)))

    return make


def _compiled(folder):
    cache = {"ep_cache_context": str(_outside(folder)), "embed_mode": 0}
    return _node_of("com.microsoft", "EPContext", name="engine", **cache)(folder)


def _unknown_version(folder):
    return a_file(ir_version=99)


def _cyclic(folder):
    node = helper.make_node("Ping", ["x"], ["z"], domain="own")
    functions = [a_function("Ping", "Pong"), a_function("Pong", "Ping")]
    return a_file(node, functions=functions, opsets=(("", 17), ("own", 1)))


def _overflow(folder):
    return a_file(weights=[TensorProto(name="w", data_type=1, dims=[2**33, 2**33], raw_data=bytes(8))])


def _terabyte(folder):
    """Under a kilobyte that asks for a terabyte when it runs."""
    size = numpy_helper.from_array(np.array([2**38]), "size")
    return a_file(
        helper.make_node("ConstantOfShape", ["size"], ["much"]),
        helper.make_node("ReduceMax", ["much"], ["most"], keepdims=0),
        helper.make_node("Add", ["x", "most"], ["z"]),
        weights=[size],
    )


def _endless(folder):
    return onnx_models.endless(folder / "model.onnx")


def _broken_off(folder):
    return a_file(weights=[numpy_helper.from_array(np.zeros(1000, np.float32), "w")])[:-2000]


def _tflite(*, metadata_buffer=0, offset=0, size=0, subgraphs=1):
    """A Model table of TensorFlow Lite: version, subgraphs, buffers, metadata."""
    builder = flatbuffers.Builder(256)

    def table(slots, **fields):
        builder.StartObject(slots)
        for slot, (put, number, default) in fields.items():
            put(int(slot[1:]), number, default)
        return builder.EndObject()

    def vector(items):
        builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            builder.PrependUOffsetTRelative(item)
        return builder.EndVector()

    put = builder
    name = builder.CreateString("min_runtime_version")
    graphs = vector([table(5) for _ in range(subgraphs)])
    buffers = vector(
        [
            table(3, _1=(put.PrependUint64Slot, offset, 0), _2=(put.PrependUint64Slot, size, 0))
            for _ in range(2)
        ]
    )
    entry = table(
        2, _0=(put.PrependUOffsetTRelativeSlot, name, 0), _1=(put.PrependUint32Slot, metadata_buffer, 0)
    )
    metadata = vector([entry])
    reference = put.PrependUOffsetTRelativeSlot
    model = table(
        7, _0=(put.PrependUint32Slot, 3, 0), _2=(reference, graphs, 0), _4=(reference, buffers, 0),
        _6=(reference, metadata, 0),
    )  # fmt: skip
    builder.Finish(model, b"TFL3")
    return bytes(builder.Output())


def _flipped(content, place):
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


def _huge_vector(content):
    """Somewhere in the file the length 2 of the vector of buffers becomes four thousand million."""
    place = content.index(b"\x02\x00\x00\x00", 8)
    return content[:place] + b"\xff\xff\xff\xff" + content[place + 4 :]


class _Runs:
    """Pickles as a call; unpickled it would leave a file behind."""

    def __init__(self, folder, module):
        self._command = f"touch {folder / TOUCHED}"
        self._module = module

    def __reduce__(self):
        if self._module:
            return eval, (f"__import__({self._module!r}).system({self._command!r})",)
        return os.system, (self._command,)


def _pickle(folder, module="", protocol=2):
    return pickle.dumps(_Runs(folder, module), protocol)


def _zip(members, compression=zipfile.ZIP_STORED):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


def _tar(*members):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, kind, link in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, link
            archive.addfile(member)
    return content.getvalue()


def _million(folder):
    entry = b"PK\x01\x02" + bytes(42)
    return entry * 1_000_000 + b"PK\x05\x06" + bytes(18)


def _sparse_file(folder):
    """2.1 GiB with no more on the disk than its beginning."""
    path = folder / "model.onnx"
    path.write_bytes(with_raw_graph(b"")[:2])
    os.truncate(path, int(2.1 * 2**30))
    return path


def _always(content):
    return lambda folder: content


EXTERNAL = {
    "parent": _external(f"../{SECRET}"),
    "absolute": _external("{secret}"),
    "symlink": _linked(lambda secret, link: link.symlink_to(secret)),
    "hardlink": _linked(lambda secret, link: link.hardlink_to(secret)),
    "sparse": _sparse_external,
    "class-key": _external("w.bin", __class__="os.PathLike"),
    "negative-length": _external("w.bin", offset="-8", length="-1"),
    "beside": _external("model.onnx", offset="0", length="16"),
}
ONNX = (
    *(
        Hostile(f"external-{name}", "external_data", "initializer 'w'", make)
        for name, make in EXTERNAL.items()
    ),
    Hostile("memory-marker", "memory_marker", "tensor 'w'", _memory_marker),
    Hostile("compiled-context", "compiled_model", "node 'engine'", _compiled),
    Hostile("custom-domain", "unknown_operator", "'Run' of 'evil.ops'", _node_of("evil.ops", "Run")),
    Hostile("unknown-ir-version", "unsupported_version", "IR version 99", _unknown_version),
    Hostile("cyclic-functions", "recursive_function", "function 'Ping'", _cyclic),
    Hostile("subgraphs-5000-deep", "too_deep", "graph", _always(nested(5_000))),
    Hostile("dims-overflow", "weights_overflow", "initializer 'w'", _overflow),
    Hostile("declares-a-terabyte", "memory", "512 MiB", _terabyte, by="probe"),
    Hostile("endless-loop", "timed_out", "3 s during its first run", _endless, by="probe"),
    Hostile("broken-off", "truncated_file", "graph in a message of type 'model'", _broken_off),
    Hostile("nothing", "empty_file", "empty", _always(b"")),
    Hostile("two-gigabytes", "too_much", "2,254,857,830 bytes", _sparse_file),
)
# What is no ONNX at all: by name, what the sentence must speak of, and how it is made.
TFLITE = {
    "tflite-metadata-index": _tflite(metadata_buffer=4_000_000),
    "tflite-offset-and-size": _tflite(offset=2**64 - 8, size=16),
    "tflite-flip": _flipped(_tflite(), 118),
    "tflite-huge-vector": _huge_vector(_tflite()),
    "tflite-no-subgraphs": _tflite(subgraphs=0),
    "tflite-broken-off": _tflite()[:40],
}
PICKLES = {
    "pickle-os-system": ("pickle", _pickle),
    "pickle-import-chain": ("pickle", lambda folder: _pickle(folder, "os", 0)),
    "zip-with-pickle": ("PyTorch", lambda folder: _zip({"archive/data.pkl": _pickle(folder)})),
    "torch-as-tflite": ("PyTorch", lambda folder: _zip({"m/data.pkl": _pickle(folder), "m/code/m.py": "1"})),
    "joblib": ("pickle", lambda folder: _pickle(folder, "os", 4)),
    "nested-zip": ("zip", lambda folder: _zip({"a.zip": _zip({"b.zip": _zip({"c": _pickle(folder)})})})),
}
ARCHIVES = {
    "tar-slip": ("tar", _always(_tar((f"../{SECRET}", tarfile.REGTYPE, "")))),
    "tar-symlink-then-write": (
        "tar",
        _always(_tar(("out", tarfile.SYMTYPE, ".."), (f"out/{SECRET}", tarfile.REGTYPE, ""))),
    ),
    "tar-hardlink": ("tar", _always(_tar(("out", tarfile.LNKTYPE, "/etc/passwd")))),
    "zip-ratio-bomb": ("zip", lambda _: _zip({"saved_model.pb": bytes(64 << 20)}, zipfile.ZIP_DEFLATED)),
    "zip-million-entries": ("zip", _million),
    "tar-device-node": ("tar", _always(_tar(("sda", tarfile.BLKTYPE, "")))),
    "web-page": ("web page", _always(b"<!DOCTYPE html>\n<html><body>404</body></html>")),
    "elf": ("ELF", lambda folder: Path("/bin/true").read_bytes()),
}
FILE_NAMES = {"torch-as-tflite": "model.tflite", "joblib": "model.joblib"}
OTHERS = (
    {name: ("TensorFlow Lite", _always(content)) for name, content in TFLITE.items()} | PICKLES | ARCHIVES
)
HOSTILE = (
    *ONNX,
    *(
        Hostile(name, "not_onnx", says, make, file_name=FILE_NAMES.get(name, "model.onnx"))
        for name, (says, make) in OTHERS.items()
    ),
)

# Where a file can say that data lies elsewhere, besides the initializers above.
_SUBGRAPH = helper.make_graph([], "inner", [], [], [external("w.bin")])
_CONSTANT = helper.make_node("Constant", [], ["c"], value=external("w.bin"), name="hidden")


def _sparse(values, indices):
    return helper.make_sparse_tensor(values, indices, [8])


def _in_function():
    function = a_function("Own")
    function.node.append(_CONSTANT)
    return a_model(functions=[function])


def _in_training():
    model = a_model()
    model.training_info.add().algorithm.initializer.append(external("w.bin"))
    return model


def _without_location():
    tensor = external("w.bin")
    tensor.ClearField("data_location")
    return a_model(weights=[tensor])


def _without_entries():
    tensor = external("w.bin")
    tensor.ClearField("external_data")
    return a_model(weights=[tensor])


_PLACES = numpy_helper.from_array(np.arange(4), "places")
EXTERNAL_PLACES = {
    "attribute": lambda: a_model([_CONSTANT]),
    "attribute-list": lambda: a_model([helper.make_node("Any", [], ["c"], many=[external("w.bin")])]),
    "sparse-attribute": lambda: a_model(
        [helper.make_node("Constant", [], ["c"], sparse_value=_sparse(external("w.bin"), _PLACES))]
    ),
    "sparse-indices": lambda: a_model(
        sparse=[_sparse(numpy_helper.from_array(np.zeros(4, np.float32), "w"), external("w.bin"))]
    ),
    "subgraph": lambda: a_model([helper.make_node("If", ["x"], ["c"], then_branch=_SUBGRAPH)]),
    "subgraph-list": lambda: a_model([helper.make_node("Any", ["x"], ["c"], branches=[_SUBGRAPH])]),
    "function": _in_function,
    "training": _in_training,
    "entries-without-location": _without_location,
    "location-without-entries": _without_entries,
}
