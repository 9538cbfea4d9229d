"""Converts TorchScript, traced or scripted, with PyTorch. Only `torch.jit` loads the file: nothing here unpickles."""

import warnings
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.convert.programs.base import CONVERTED, ConverterJob, Program, Refused, run_program

OPSET = 17  # the newest that the exporter of TorchScript covers without gaps
_BATCH, _BATCH_SIZE, _AXIS_SIZE = "batch", 2, 16
_DTYPES = ("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
_MAX_INPUTS, _MAX_AXES, _MAX_SIZE, _MAX_NAMED = 64, 8, 1 << 20, 10
_HOW_TO_STATE_SHAPES = (
    "State the size of each input, such as image=1,3,224,224 (“Input sizes” on the upload page, input_shapes in the API,"
    " import_model --shape); the first axis is the batch. Axes that vary besides it are named by the option “varying”."
)


@dataclass(frozen=True, slots=True)
class _ScriptInput:
    """What the owner states of an input. A name in `shape` is an axis whose size varies."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def example(self, sizes: dict[str, int]) -> Any:
        import torch

        shape = [sizes[axis] if isinstance(axis, str) else axis for axis in self.shape]
        if self.dtype.startswith("float"):
            return torch.rand(shape, dtype=getattr(torch, self.dtype))
        return torch.zeros(shape, dtype=getattr(torch, self.dtype))

    @property
    def varying(self) -> dict[int, str]:
        return {number: axis for number, axis in enumerate(self.shape) if isinstance(axis, str)}


def main() -> None:
    run_program(Program(load_packages=_load_packages, convert=_convert, run=_run))


def _load_packages(_: str) -> None:
    import onnx
    import torch

    warnings.simplefilter(
        "ignore"
    )  # the exporter that takes TorchScript says that a newer one exists, which does not
    torch.onnx.register_custom_op_symbolic("aten::unflatten", _export_unflatten, OPSET)
    del onnx


def _convert(job: ConverterJob) -> dict[str, Any]:
    import onnx
    import torch

    module = _load(job)
    inputs = _inputs(job, module)
    sizes = _example_sizes(job, inputs)
    shapes = _output_shapes(module, inputs, sizes)
    outputs = _output_names(job, len(shapes))
    try:
        torch.onnx.export(
            module,
            tuple(one.example(sizes) for one in inputs),
            CONVERTED,
            dynamo=False,
            opset_version=OPSET,
            input_names=[one.name for one in inputs],
            output_names=outputs,
            dynamic_axes={one.name: one.varying for one in inputs if one.varying},
        )
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        raise Refused(f"PyTorch cannot export this module to ONNX: {_first_line(error)}") from None
    types = _state_outputs(Path(CONVERTED), dict(zip(outputs, shapes, strict=True)))
    return {
        "converter": f"torch.onnx {torch.__version__}",
        "runtime": f"torch {torch.__version__}",
        "onnx": onnx.__version__,
        "opset": OPSET,
        "flags": {"dynamo": False, "submodule": str(job.options.get("submodule") or "")},
        "inputs": [{"name": one.name, "type": one.dtype, "shape": list(one.shape)} for one in inputs],
        "outputs": [
            {"name": name, "type": type_, "shape": shape}
            for name, type_, shape in zip(outputs, types, shapes, strict=True)
        ],
    }


def _run(job: ConverterJob, sets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    import torch

    module = _load(job)
    inputs = _inputs(job, module)
    answers = []
    for given in sets:
        arguments = [torch.from_numpy(given[one.name]) for one in inputs]
        found = [tensor.numpy() for tensor in _call(module, arguments)]
        answers.append(dict(zip(_output_names(job, len(found)), found, strict=True)))
    return answers


def _export_unflatten(graph: Any, tensor: Any, axis: Any, sizes: Any) -> Any:
    """As PyTorch exports it, with the number of axes stated, which it loses; every attention layer needs that."""
    from torch.onnx import symbolic_helper, symbolic_opset13

    result = symbolic_opset13.unflatten(graph, tensor, axis, sizes)
    if symbolic_helper._is_packed_list(sizes):
        rank = symbolic_helper._get_tensor_rank(tensor) + len(symbolic_helper._unpack_list(sizes)) - 1
        result.setType(result.type().with_sizes([None] * rank))
    return result


# Loading


def _load(job: ConverterJob) -> Any:
    import torch

    _check_is_torchscript(job.source)
    try:
        module = torch.jit.load(str(job.source), map_location="cpu")
    except (RuntimeError, ValueError) as error:
        raise Refused(f"PyTorch cannot read this TorchScript file: {_first_line(error)}") from None
    module = _submodule(module, str(job.options.get("submodule") or ""))
    if not hasattr(module, "forward"):
        raise Refused("This TorchScript module has no forward method. Save one that has.")
    if module.inlined_graph.findAllNodes("prim::SetAttr"):
        children = _quoted([name for name, _ in module.named_children()])
        raise Refused(
            "This module keeps state between calls, which a served model cannot. Save a module that takes its state as an"
            " input and returns it"
            + (f", or name a part that does under “submodule”: {children}." if children else ".")
        )
    return module.eval()


def _check_is_torchscript(path: Path) -> None:
    """Tell a file of pickled weights from a program, by the names in the archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] for name in archive.namelist()}
    except (OSError, ValueError, zipfile.BadZipFile):
        names = set()
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        return
    if "data.pkl" in names or path.read_bytes()[:1] == b"\x80":
        raise Refused(
            "This is a pickle, such as torch.save() writes, and has no program that can be converted. Make a TorchScript file:"
            " torch.jit.trace(model.eval(), example).save(“model.pt”)."
        )
    raise Refused(
        "This is not a TorchScript file. Make one: torch.jit.trace(model.eval(), example).save(“model.pt”)."
    )


def _submodule(module: Any, name: str) -> Any:
    if not name:
        return module
    found = dict(module.named_modules())
    if name not in found:
        raise Refused(f"The module has no submodule “{name}”; it has {_quoted(list(found)[1:]) or 'none'}.")
    return found[name]


def _quoted(names: Sequence[str]) -> str:
    shown = ", ".join(f"“{name}”" for name in names[:_MAX_NAMED])
    return f"{shown} and {len(names) - _MAX_NAMED:,} more" if len(names) > _MAX_NAMED else shown


# What goes in


def _inputs(job: ConverterJob, module: Any) -> list[_ScriptInput]:
    """The inputs in the order in which the module takes them."""
    arguments = _arguments(module)
    stated = job.options.get("shapes")
    if not stated:
        raise Refused(
            f"A TorchScript file does not state its inputs. {_HOW_TO_STATE_SHAPES} The module takes {', '.join(arguments)}."
        )
    shapes = _by_name(job, stated, arguments)
    if len(shapes) > min(len(arguments), _MAX_INPUTS):
        raise Refused(
            f"“shapes” states {len(shapes)} inputs, but the module takes {len(arguments)}: {', '.join(arguments)}."
        )
    dtypes, varying = _dtypes(job, list(shapes)), _pairs(job, "varying")
    fixed = _listed(job, "fixed_batch")
    return [
        _ScriptInput(
            name,
            _dtype(name, dtypes.get(name, "float32")),
            _shape(
                name,
                shape,
                varying=[axis for one, axis in varying if one == name],
                has_fixed_batch=name in fixed,
            ),
        )
        for name, shape in shapes.items()
    ]


def _arguments(module: Any) -> list[str]:
    """The names of the forward method's arguments; those that are not tensors cannot be inputs."""
    arguments = module.forward.schema.arguments[1:]
    for one in arguments:
        if str(one.type) not in {"Tensor", "Optional[Tensor]"} and not one.has_default_value():
            raise Refused(
                f"The module's argument “{one.name}” is of type {one.type}, and only tensors can be inputs. Save a module whose"
                " forward method takes tensors only."
            )
    return [one.name for one in arguments if str(one.type) in {"Tensor", "Optional[Tensor]"}]


def _by_name(job: ConverterJob, stated: Any, arguments: Sequence[str]) -> dict[str, Any]:
    """By the module's own names, else by the order that is stated: stored options do not keep theirs."""
    order = _listed(job, "inputs")
    if isinstance(stated, list):
        names = order or [f"input_{number}" for number in range(len(stated))]
        if len(names) != len(stated):
            raise Refused(f"“inputs” has {len(names)} names for {len(stated)} shapes.")
        return dict(zip(names, stated, strict=True))
    if not isinstance(stated, dict):
        raise Refused(f"“shapes” cannot be read. {_HOW_TO_STATE_SHAPES}")
    if not order and set(stated) <= set(arguments):
        order = [name for name in arguments if name in stated]
    if not order and len(stated) == 1:
        order = list(stated)
    if sorted(order) != sorted(stated):
        raise Refused(
            f"The module takes {', '.join(arguments)}. Give the inputs these names, or state all their names under “inputs”, in"
            " this order."
        )
    return {name: stated[name] for name in order}


def _dtypes(job: ConverterJob, names: Sequence[str]) -> dict[str, str]:
    """One for all inputs, one for each in order, or by name."""
    named = _pairs(job, "dtypes")
    if all(key for key, _ in named):
        return dict(named)
    found = [value for _, value in named]
    return dict(zip(names, found * len(names) if len(found) == 1 else found, strict=False))


def _listed(job: ConverterJob, option: str) -> list[str]:
    """A list, or its items in a text with commas, which is how people write it."""
    stated = job.options.get(option) or []
    parts = stated.split(",") if isinstance(stated, str) else stated if isinstance(stated, list) else []
    return [str(part).strip() for part in parts if str(part).strip()]


def _pairs(job: ConverterJob, option: str) -> list[tuple[str, str]]:
    """What is stated by name: a mapping, or `name=value` in a list; without a name where none is given."""
    stated = job.options.get(option)
    if isinstance(stated, dict):
        return [(str(name), str(value)) for name, value in stated.items()]
    return [
        (name.strip(), value.strip())
        for name, _, value in (one.rpartition("=") for one in _listed(job, option))
    ]


def _dtype(name: str, dtype: Any) -> str:
    if dtype not in _DTYPES:
        raise Refused(f"The type of “{name}” must be one of {', '.join(_DTYPES)}, not {dtype!r}.")
    return str(dtype)


def _shape(name: str, shape: Any, *, varying: Sequence[str], has_fixed_batch: bool) -> tuple[int | str, ...]:
    """The first axis is the batch, whose size varies, unless the owner says that it is fixed."""
    if not isinstance(shape, list) or len(shape) > _MAX_AXES:
        raise Refused(
            f"The shape of “{name}” must be a list of at most {_MAX_AXES} sizes. {_HOW_TO_STATE_SHAPES}"
        )
    axes: list[int | str] = []
    for number, size in enumerate(shape):
        is_batch = number == 0 and not has_fixed_batch
        if isinstance(size, str) and size.isidentifier():
            axes.append(size)
        elif not isinstance(size, int) or isinstance(size, bool) or size == 0 or size < -1:
            raise Refused(f"The size {size!r} in the shape of “{name}” is not one. {_HOW_TO_STATE_SHAPES}")
        elif size == -1 or is_batch or str(number) in varying:
            axes.append(_BATCH if is_batch else f"{name}_{number}")
        else:
            axes.append(size)
    return tuple(axes)


def _example_sizes(job: ConverterJob, inputs: Sequence[_ScriptInput]) -> dict[str, int]:
    """A size at which the module is tried, for each axis that varies: as stated, else some."""
    stated = dict(_pairs(job, "sizes"))
    if not all(size.isascii() and size.isdigit() and 0 < int(size) <= _MAX_SIZE for size in stated.values()):
        raise Refused(
            "“sizes” must name axes that vary, each with a size at which the module works, such as steps=16."
        )
    axes = {axis for one in inputs for axis in one.varying.values()}
    return {
        axis: int(stated.get(axis, _BATCH_SIZE if axis == _BATCH else _AXIS_SIZE)) for axis in sorted(axes)
    }


# What comes out


def _output_names(job: ConverterJob, count: int) -> list[str]:
    names = _listed(job, "outputs") or [f"output_{number}" for number in range(count)]
    if len(names) != count:
        raise Refused(f"“outputs” has {len(names)} names, but the module returns {count} tensors.")
    return names


def _output_shapes(
    module: Any, inputs: Sequence[_ScriptInput], sizes: dict[str, int]
) -> list[list[int | str]]:
    """The shapes that the module returns, found by trying: the exporter states those of its one example as if they were fixed."""
    first = _shapes_at(module, inputs, sizes)
    found: list[list[int | str]] = [list(shape) for shape in first]
    for axis, size in sizes.items():
        other_size, other = _vary(module, inputs, sizes, axis)
        for number, (before, after) in enumerate(zip(first, other, strict=True)):
            if len(before) != len(after):
                raise Refused(
                    f"Output {number} has another number of axes when the size of “{axis}” changes."
                )
            for place, (one, another) in enumerate(zip(before, after, strict=True)):
                if one != another:
                    follows = (one, another) == (size, other_size)
                    found[number][place] = axis if follows else f"output_{number}_{place}"
    return found


def _vary(
    module: Any, inputs: Sequence[_ScriptInput], sizes: dict[str, int], axis: str
) -> tuple[int, list[tuple[int, ...]]]:
    error: Refused | None = None
    for size in (sizes[axis] + 1, sizes[axis] * 2):
        try:
            return size, _shapes_at(module, inputs, {**sizes, axis: size})
        except Refused as refused:
            error = error or refused
    raise Refused(
        f"The size of “{axis}” cannot vary: {error} State it as a fixed number{' under “fixed_batch”' if axis == _BATCH else ''}."
    )


def _shapes_at(module: Any, inputs: Sequence[_ScriptInput], sizes: dict[str, int]) -> list[tuple[int, ...]]:
    return [tuple(tensor.shape) for tensor in _call(module, [one.example(sizes) for one in inputs])]


def _call(module: Any, arguments: Sequence[Any]) -> list[Any]:
    import torch

    try:
        with torch.no_grad():
            answer = module(*arguments)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        shapes = ", ".join(str(list(one.shape)) for one in arguments)
        raise Refused(f"The module fails on inputs of the shapes {shapes}: {_last_line(error)}") from None
    return list(_tensors(answer))


def _tensors(answer: Any) -> Iterator[Any]:
    import torch

    if isinstance(answer, torch.Tensor):
        yield answer
    elif isinstance(answer, dict):
        for one in answer.values():
            yield from _tensors(one)
    elif isinstance(answer, list | tuple):
        for one in answer:
            yield from _tensors(one)
    elif answer is not None:
        raise Refused(f"The module returns a {type(answer).__name__}, and only tensors can be outputs.")


def _state_outputs(path: Path, shapes: dict[str, list[int | str]]) -> list[str]:
    """State the shapes that were found, and drop remarks, which name folders of whoever made the file. Returns the types."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    if [one.name for one in model.graph.output] != list(shapes):
        raise Refused(
            f"The module returns {len(shapes)} tensors, but PyTorch exports {len(model.graph.output)}. Save a module that returns"
            " a tensor, or a tuple of tensors."
        )
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.ClearField("doc_string")
    for output in model.graph.output:
        dimensions = output.type.tensor_type.shape
        del dimensions.dim[:]
        for size in shapes[output.name]:
            dimensions.dim.add(**{"dim_param" if isinstance(size, str) else "dim_value": size})
    onnx.save(model, str(path))
    types = [one.type.tensor_type.elem_type for one in model.graph.output]
    return [onnx.helper.tensor_dtype_to_np_dtype(one).name for one in types]


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _last_line(error: BaseException) -> str:
    """What was raised, under the lines of the module's own source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" ~<-.")]
    return lines[-1] if lines else type(error).__name__
