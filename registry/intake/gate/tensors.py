"""Tensors: no bytes outside the file, no size that no memory holds, and as many bytes as the shape says."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from registry.intake.gate.entries import check_entry
from registry.intake.gate.errors import ExternalData, Malformed, TensorMismatch, TensorOverflow
from registry.intake.gate.limits import GateLimits, Tally
from registry.intake.gate.schema import ENTRY, PACKED, SPARSE, TENSOR
from registry.intake.gate.wire import WireFile
from registry.intake.gate.wording import shown


class ElementType(NamedTuple):
    """How the elements of one data type lie in a tensor: so many bits raw, or so many numbers in a list."""

    bits: int
    numbers_in: str  # the list for those that are not raw
    per_number: int = 1  # elements that share a number
    numbers: int = 1  # numbers that make an element


STRING = 8
ELEMENT_TYPES = {
    1: ElementType(32, "float_data"),
    **dict.fromkeys((2, 3, 9), ElementType(8, "int32_data")),  # uint8, int8, bool
    **dict.fromkeys((4, 5, 10, 16), ElementType(16, "int32_data")),  # uint16, int16, float16, bfloat16
    6: ElementType(32, "int32_data"),
    7: ElementType(64, "int64_data"),
    STRING: ElementType(8 * 32, "string_data"),  # what an empty one takes in memory
    11: ElementType(64, "double_data"),
    12: ElementType(32, "uint64_data"),
    13: ElementType(64, "uint64_data"),
    14: ElementType(64, "float_data", numbers=2),  # complex
    15: ElementType(128, "double_data", numbers=2),
    **dict.fromkeys((17, 18, 19, 20, 24), ElementType(8, "int32_data")),  # float8
    **dict.fromkeys((21, 22, 23), ElementType(4, "int32_data", per_number=2)),  # uint4, int4, float4
    **dict.fromkeys((25, 26), ElementType(2, "int32_data", per_number=4)),  # uint2, int2
}
_FIXED = {"float_data": 5, "float_data" + PACKED: 4, "double_data": 9, "double_data" + PACKED: 8}
# A number that is not packed has its tag before it, which ends a byte as well.
_VARIABLE = {
    name + form: ends
    for name in ("int32_data", "int64_data", "uint64_data")
    for form, ends in (("", 2), (PACKED, 1))
}

Where = Callable[[bytes], str]  # names a tensor in a sentence, given the name in the file


@dataclass(slots=True)
class Tensor:
    """What one tensor says of itself."""

    name: bytes = b""
    data_type: int = 0
    dims: list[int] = field(default_factory=list)
    raw_bytes: int | None = None
    numbers: dict[str, int] = field(default_factory=dict)
    is_external: bool = False
    location: bytes = b""  # the file that it names, or the beginning of a name that is too long for one

    def __str__(self) -> str:
        return f"the tensor {shown(self.name)}"

    @property
    def element_type(self) -> ElementType | None:
        return ELEMENT_TYPES.get(self.data_type)


class TensorCheck:
    """Checks tensors of one file; `data_bytes` is what they hold together."""

    def __init__(self, file: WireFile, limits: GateLimits, tally: Tally) -> None:
        self._file, self._limits, self._tally = file, limits, tally
        self.data_bytes = 0

    def check(self, start: int, end: int, where: Where) -> Tensor:
        """Check the tensor between two offsets."""
        self._tally.add("tensors")
        tensor = self.read(start, end)
        told = where(tensor.name)
        if tensor.is_external:
            raise ExternalData(_outside(tensor, told))
        elements = self._elements(tensor.dims, told)
        self._check_bytes(tensor, elements, told)
        return tensor

    def check_sparse(self, start: int, end: int, where: Where) -> None:
        """Check a sparse tensor; it counts as large as the dense one that the runtime makes of it."""
        dims: list[int] = []
        name, bits = b"", 64
        for what, begin, stop in self._file.fields(SPARSE, start, end):
            if what == "values":
                values = self.check(begin, stop, where)
                name, bits = values.name, values.element_type.bits if values.element_type else bits
            elif what == "indices":
                self.check(begin, stop, where)
            else:
                self._take_dims(dims, what, begin, stop)
        self._tally.add("bytes in sparse tensors", self._elements(dims, where(name)) * bits // 8)

    def raw_bytes(self, tensor: Tensor, told: str) -> int:
        """Say how many bytes the tensor's shape and type need; raise TensorRefused where no memory holds them."""
        kind = tensor.element_type
        if kind is None or tensor.data_type == STRING:
            raise TensorMismatch(
                f"{told} has the data type {tensor.data_type}, whose data cannot lie outside the file; export the file again."
            )
        return -(-self._elements(tensor.dims, told) * kind.bits // 8)

    def read(self, start: int, end: int) -> Tensor:
        """Read what a tensor says of itself."""
        tensor = Tensor()
        for what, begin, stop in self._file.fields(TENSOR, start, end):
            if what == "raw_data":
                tensor.raw_bytes = stop - begin
                self.data_bytes += stop - begin
            elif what == "data_type":
                tensor.data_type = (
                    self._file.number(begin) & 0xFFFF_FFFF
                )  # an int32, of which more is cut off
            elif what == "name":
                tensor.name = self._file.text(begin, stop)
            elif what == "data_location":
                tensor.is_external |= self._file.number(begin) & 0xFFFF_FFFF != 0
            elif what == "external_data":
                key = check_entry(self._file, self._limits, begin, stop, tensor)
                tensor.is_external = True
                if key == b"location":
                    tensor.location = self._value(begin, stop)
            elif what == "metadata_props":
                check_entry(self._file, self._limits, begin, stop, tensor)
            elif what.startswith("dims"):
                self._take_dims(tensor.dims, what, begin, stop)
            else:
                self._count_numbers(tensor, what, begin, stop)
        return tensor

    def _value(self, start: int, end: int) -> bytes:
        spans = {what: (begin, stop) for what, begin, stop in self._file.fields(ENTRY, start, end)}
        begin, stop = spans.get("value", (start, start))
        return self._file.text(begin, min(stop, begin + self._limits.max_name_bytes))

    def _take_dims(self, dims: list[int], what: str, start: int, end: int) -> None:
        if what == "dims":
            dims.append(self._file.number(start))
        elif end - start <= 10 * self._limits.max_rank:
            dims += self._file.numbers(start, end)
        else:
            raise self._too_many_dims()
        if len(dims) > self._limits.max_rank:
            raise self._too_many_dims()

    def _too_many_dims(self) -> TensorOverflow:
        return TensorOverflow(
            f"A tensor of the file has more than {self._limits.max_rank} dimensions; export the file again."
        )

    def _count_numbers(self, tensor: Tensor, what: str, start: int, end: int) -> None:
        size = end - start
        if what in _FIXED:
            count, rest = divmod(size, _FIXED[what])
            if rest:
                raise Malformed(f"A list of numbers at byte {start:,} breaks off; export the file again.")
        elif what in _VARIABLE:
            count = self._file.count_ends(start, end) // _VARIABLE[what]
        else:  # strings; a segment and a text are no data
            count = int(what == "string_data")
        if count:
            name = what.removesuffix(PACKED)
            tensor.numbers[name] = tensor.numbers.get(name, 0) + count
            self.data_bytes += size

    def _elements(self, dims: Iterable[int], told: str) -> int:
        count, is_empty = 1, False
        for place, size in enumerate(dims):
            is_empty |= size == 0
            count *= size or 1  # an empty tensor's other sizes may still overflow
            if size < 0 or count > self._limits.max_elements:
                raise TensorOverflow(
                    f"{told} has a shape that no memory holds ({size} in dimension {place}); export the file again."
                )
        return 0 if is_empty else count

    def _check_bytes(self, tensor: Tensor, elements: int, told: str) -> None:
        kind = tensor.element_type
        if kind is None:
            raise TensorMismatch(
                f"{told} has the unknown data type {tensor.data_type}; export the file again."
            )
        if tensor.raw_bytes is not None and not tensor.numbers:
            expected, got, unit = -(-elements * kind.bits // 8), tensor.raw_bytes, "bytes"
            is_right = expected == got and tensor.data_type != STRING
        else:
            expected = -(-elements * kind.numbers // kind.per_number)
            got, unit = sum(tensor.numbers.values()), "numbers"
            is_right = (
                expected == got and tensor.raw_bytes is None and tensor.numbers.keys() <= {kind.numbers_in}
            )
        if not is_right:
            raise TensorMismatch(
                f"{told} has a shape of {elements:,} elements, for which its type needs {expected:,} {unit}, and"
                f" holds {got:,} {unit} of its own; export the file again."
            )


def _outside(tensor: Tensor, told: str) -> str:
    if not tensor.location:
        return f"{told} has its data outside the file; export the model as one file."
    return (
        f"{told} has its data in another file, {shown(tensor.location)}; send that file along, or export the model with"
        " external_data=False."
    )
