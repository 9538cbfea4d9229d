"""Converts SavedModels and TensorFlow Lite files with tf2onnx, and runs them with TensorFlow. Keras is never loaded."""

import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from inference.convert.programs.base import CONVERTED, ConverterJob, Program, Refused, run_program

OPSET = 17
_OPSET_OF_ML = 3  # which tf2onnx writes for tables of words
_TAG = "serve"
_DEFAULT_SIGNATURE = "serving_default"
_MAX_NAMED = 10
# TensorFlow Lite's own. Some builds have delegates that run all operators of TensorFlow, such as those that write files.
_OPERATORS = "BUILTIN_WITHOUT_DEFAULT_DELEGATES"

# Read by TensorFlow's native code when it is imported. oneDNN sums in another order, which differs more from ONNX Runtime.
_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": "-1"}


def main() -> None:
    run_program(Program(load_packages=_load_packages, convert=_convert, run=_run))


def _load_packages(_: str) -> None:
    os.environ.update(_ENVIRONMENT)
    # Keras runs code that models carry, even in its safe mode (CVE-2026-1462). An import of it now fails.
    sys.modules["keras"] = None  # type: ignore[assignment]
    import tensorflow
    import tf2onnx.convert

    del tensorflow, tf2onnx


def _convert(job: ConverterJob) -> dict[str, Any]:
    return _convert_saved_model(job) if job.format == "saved_model" else _convert_lite(job)


def _run(job: ConverterJob, sets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return _run_saved_model(job, sets) if job.format == "saved_model" else _run_lite(job, sets)


# SavedModel


def _convert_saved_model(job: ConverterJob) -> dict[str, Any]:
    from tf2onnx.tf_loader import from_saved_model

    name, signature = _signature(job)
    inputs, outputs = _ends(signature.inputs), _ends(signature.outputs)
    _check_names(inputs, outputs)
    graph, input_names, output_names, tables, renamed = from_saved_model(
        str(job.source), None, None, tag=[_TAG], signatures=[name],
        return_initialized_tables=True, return_tensors_to_rename=True,
    )  # fmt: skip
    model = _to_onnx(
        graph,
        input_names=input_names,
        output_names=output_names,
        tensors_to_rename=renamed,
        initialized_tables=tables,
    )
    return _facts(model, inputs, outputs, tag=_TAG, signature=name)


def _run_saved_model(job: ConverterJob, sets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    import tensorflow as tf

    name, _ = _signature(job)
    loaded = tf.saved_model.load(str(job.source), tags=[_TAG])  # it holds the variables of its signatures
    function = loaded.signatures[name]
    answers = []
    for inputs in sets:
        found = function(**{key: tf.constant(array) for key, array in inputs.items()})
        answers.append({key: _plain(tensor.numpy()) for key, tensor in found.items()})
    return answers


def _signature(job: ConverterJob) -> tuple[str, Any]:
    """The signature that was chosen, read from the file without loading it."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    model = SavedModel.FromString((job.source / "saved_model.pb").read_bytes())
    graphs = [graph for graph in model.meta_graphs if list(graph.meta_info_def.tags) == [_TAG]]
    if not graphs:
        tags = [", ".join(graph.meta_info_def.tags) or "none" for graph in model.meta_graphs]
        raise Refused(
            f"The SavedModel has no graph with the tag “{_TAG}” (it has: {_named(tags)}); save it for serving."
        )
    signatures = {
        name: one for name, one in graphs[0].signature_def.items() if not name.startswith("_") and one.outputs
    }
    name = _chosen(job, list(signatures))
    return name, signatures[name]


def _ends(infos: Mapping[str, Any]) -> list[dict[str, Any]]:
    from tensorflow import as_dtype

    ends = []
    for name, info in sorted(infos.items()):
        if info.WhichOneof("encoding") != "name":
            raise Refused(
                f"The signature's “{name}” is not a plain tensor; save a signature of dense tensors."
            )
        shape = info.tensor_shape
        sizes = None if shape.unknown_rank else [one.size if one.size >= 0 else None for one in shape.dim]
        ends.append({"name": name, "type": as_dtype(info.dtype).name, "shape": sizes})
    return ends


# TensorFlow Lite


def _convert_lite(job: ConverterJob) -> dict[str, Any]:
    interpreter = _interpreter(job)
    signature, renamed = _lite_names(job, interpreter)
    inputs = _lite_ends(interpreter.get_input_details(), renamed)
    outputs = _lite_ends(interpreter.get_output_details(), renamed)
    _check_names(inputs, outputs)
    model = _to_onnx(None, tflite_path=str(job.source), tensors_to_rename=renamed)
    # Weights or activations in whole numbers, which the check allows to differ more.
    details = interpreter.get_tensor_details()
    is_quantized = any(len(detail["quantization_parameters"]["scales"]) for detail in details)
    return {**_facts(model, inputs, outputs, signature=signature), "quantized": is_quantized}


def _run_lite(job: ConverterJob, sets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    interpreter = _interpreter(job)
    _, renamed = _lite_names(job, interpreter)
    answers = []
    for inputs in sets:
        _resize(interpreter, renamed, inputs)
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], inputs[renamed[detail["name"]]])
        interpreter.invoke()
        answers.append(
            {
                renamed[detail["name"]]: _plain(interpreter.get_tensor(detail["index"]))
                for detail in interpreter.get_output_details()
            }
        )
    return answers


def _interpreter(job: ConverterJob) -> Any:
    import tensorflow as tf

    resolver = tf.lite.experimental.OpResolverType[_OPERATORS]
    try:
        interpreter = tf.lite.Interpreter(
            model_path=str(job.source), experimental_op_resolver_type=resolver, num_threads=1
        )
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        if "Select TensorFlow op" in str(error):
            raise Refused(
                "The file needs operators of TensorFlow itself; send the SavedModel instead."
            ) from None
        raise Refused(f"TensorFlow Lite does not load the file: {str(error).rstrip('.')}.") from None
    return interpreter


def _lite_names(job: ConverterJob, interpreter: Any) -> tuple[str | None, dict[str, str]]:
    """The signature that was chosen, and what its inputs and outputs are called, by the names of their tensors."""
    details = [*interpreter.get_input_details(), *interpreter.get_output_details()]
    names = [detail["name"] for detail in details]
    signatures = interpreter.get_signature_list()
    if not signatures:
        if job.options.get("signature"):
            raise Refused("The file has no signatures; leave the signature empty.")
        return None, {name: name for name in names}
    chosen = _chosen(job, list(signatures))
    runner = interpreter.get_signature_runner(chosen)
    renamed = {
        detail["name"]: key
        for ends in (runner.get_input_details(), runner.get_output_details())
        for key, detail in ends.items()
    }
    if set(renamed) != set(names):
        raise Refused(
            f"The signature “{chosen}” is not of the file's main graph, which alone can be converted; export it alone."
        )
    return chosen, renamed


def _lite_ends(details: list[Any], renamed: Mapping[str, str]) -> list[dict[str, Any]]:
    import numpy as np

    ends = []
    for detail in details:
        sizes = detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"]
        end = {
            "name": renamed[detail["name"]],
            "type": np.dtype(detail["dtype"]).name,
            "shape": [int(size) if size >= 0 else None for size in sizes],
        }
        scale, zero_point = detail["quantization"]
        if scale:
            end |= {"scale": float(scale), "zero_point": int(zero_point)}
        ends.append(end)
    return ends


def _resize(interpreter: Any, renamed: Mapping[str, str], inputs: Mapping[str, Any]) -> None:
    """Set the sizes of inputs where the file leaves them open."""
    for detail in interpreter.get_input_details():
        key = renamed[detail["name"]]
        if key not in inputs:
            raise Refused(f"The input “{key}” is missing.")
        wanted, has = list(inputs[key].shape), [int(size) for size in detail["shape"]]
        if wanted == has:
            continue
        states = [int(size) for size in detail["shape_signature"]]
        if len(wanted) != len(states) or any(
            size not in {-1, asked} for size, asked in zip(states, wanted, strict=True)
        ):
            raise Refused(f"The file fixes the shape of “{key}” at {has}; it does not take {wanted}.")
        interpreter.resize_tensor_input(detail["index"], wanted, strict=True)
    interpreter.allocate_tensors()


# Both


def _chosen(job: ConverterJob, names: list[str]) -> str:
    """The signature that was asked for; else the usual one, or the only one."""
    asked = job.options.get("signature")
    if not names:
        raise Refused("The SavedModel has no signatures; save it with `signatures=`.")
    if asked and asked not in names:
        raise Refused(f"There is no signature “{asked}”; choose one of {_named(names)}.")
    if asked:
        return str(asked)
    if _DEFAULT_SIGNATURE in names:
        return _DEFAULT_SIGNATURE
    if len(names) > 1:
        raise Refused(f"There are several signatures; choose one of {_named(names)}.")
    return names[0]


def _named(names: list[str]) -> str:
    more = ["…"] if len(names) > _MAX_NAMED else []
    return ", ".join(sorted(names)[:_MAX_NAMED] + more)


def _check_names(inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
    both = sorted({one["name"] for one in inputs} & {one["name"] for one in outputs})
    if both:
        raise Refused(f"“{both[0]}” is both an input and an output, which ONNX does not allow; rename one.")


def _to_onnx(graph: Any, **arguments: Any) -> Any:
    """Convert a frozen graph, or the TensorFlow Lite file that `tflite_path` names."""
    import tensorflow as tf
    from tf2onnx.convert import _convert_common

    with tf.device("/cpu:0"):
        model, _ = _convert_common(graph, name="", opset=OPSET, output_path=CONVERTED, **arguments)
    unknown = sorted({node.op_type for node in _nodes(model.graph) if not _is_of_onnx(node)})
    if unknown:  # tf2onnx leaves them in the file as they are
        raise Refused(
            f"These operators cannot be converted to ONNX: {_named(unknown)}; export a model without them."
        )
    return model


def _nodes(graph: Any) -> Iterator[Any]:
    """All nodes of a graph, and of the graphs in them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _is_of_onnx(node: Any) -> bool:
    from onnx import defs

    try:
        defs.get_schema(node.op_type, OPSET if node.domain in {"", "ai.onnx"} else _OPSET_OF_ML, node.domain)
    except defs.SchemaError:
        return False
    return True


def _facts(
    model: Any, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]], **flags: str | None
) -> dict[str, Any]:
    from importlib.metadata import version

    found = {one.name for one in model.graph.input}
    unused = [one["name"] for one in inputs if one["name"] not in found]
    batches = {one["shape"][0] if one["shape"] else None for one in inputs}
    return {
        "converter": f"tf2onnx {version('tf2onnx')}",
        "runtime": f"tensorflow {_tensorflow_version()}",
        "onnx": version("onnx"),
        "opset": OPSET,
        "flags": {name: value for name, value in flags.items() if value is not None},
        "inputs": inputs,
        "outputs": outputs,
        "unused_inputs": unused,
        "fixed_batch": batches.pop() if len(batches) == 1 else None,
    }


def _tensorflow_version() -> str:
    import tensorflow as tf

    return str(tf.__version__)


def _plain(array: Any) -> Any:
    """An answer as numpy stores it without pickles."""
    import numpy as np

    array = np.asarray(array)  # one text alone comes as bytes
    if array.dtype.kind in "OS":
        texts = [bytes(one).decode(errors="replace") for one in array.ravel()]
        return np.array(texts, dtype=str).reshape(array.shape)
    return array if array.dtype.kind in "biufc" else array.astype(np.float32)  # such as bfloat16
