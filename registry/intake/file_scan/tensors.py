"""Tensors: no data outside the file, no impossible sizes, and as many bytes as the shape needs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from registry.intake.file_scan.errors import (
    ExternalData,
    Malformed,
    MemoryMarker,
    TensorMismatch,
    TensorOverflow,
    TooMuch,
    quote_name,
)
from registry.intake.file_scan.limits import ItemCounts, ScanLimits
from registry.intake.file_scan.schema import ENTRY, PACKED, SPARSE, TENSOR
from registry.intake.file_scan.wire import WireFile


class ElementType(NamedTuple):
    """How elements of a data type are stored: as raw bits, or as numbers in a list."""

    bits: int
    numbers_in: str  # the list for elements that are not raw
    per_number: int = 1  # elements that share a number
    numbers: int = 1  # numbers per element


STRING = 8
ELEMENT_TYPES = {
    1: ElementType(32, "float_data"),
    **dict.fromkeys((2, 3, 9), ElementType(8, "int32_data")),  # uint8, int8, bool
    **dict.fromkeys((4, 5, 10, 16), ElementType(16, "int32_data")),  # uint16, int16, float16, bfloat16
    6: ElementType(32, "int32_data"),
    7: ElementType(64, "int64_data"),
    STRING: ElementType(8 * 32, "string_data"),  # the memory of an empty string
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
# A number that is not packed follows its tag, which is a varint too.
_VARIABLE = {
    name + form: ends
    for name in ("int32_data", "int64_data", "uint64_data")
    for form, ends in (("", 2), (PACKED, 1))
}

Where = Callable[[bytes], str]  # names a tensor in a sentence, given the name in the file


@dataclass(slots=True)
class Tensor:
    """What the file says about a tensor."""

    name: bytes = b""
    data_type: int = 0
    dims: list[int] = field(default_factory=list)
    raw_bytes: int | None = None
    numbers: dict[str, int] = field(default_factory=dict)
    is_external: bool = False
    location: bytes = b""  # the file it names; cut off if too long

    def __str__(self) -> str:
        return f"the tensor {quote_name(self.name)}"

    @property
    def element_type(self) -> ElementType | None:
        return ELEMENT_TYPES.get(self.data_type)


class TensorCheck:
    """Checks the tensors of one file; `data_bytes` is their total size."""

    def __init__(self, file: WireFile, limits: ScanLimits, tally: ItemCounts) -> None:
        self._file, self._limits, self._tally = file, limits, tally
        self.data_bytes = 0

    def check(self, start: int, end: int, where: Where) -> Tensor:
        """Check the tensor between two offsets."""
        self._tally.add("tensors")
        tensor = self.read(start, end)
        label = where(tensor.name)
        if tensor.is_external:
            raise ExternalData(_outside(tensor, label))
        elements = self._elements(tensor.dims, label)
        self._check_bytes(tensor, elements, label)
        return tensor

    def check_sparse(self, start: int, end: int, where: Where) -> None:
        """Check a sparse tensor; it counts as the dense tensor that the runtime expands it to."""
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

    def raw_bytes(self, tensor: Tensor, label: str) -> int:
        """The bytes that the tensor's shape and type need; raise TensorRefused if that is impossible."""
        kind = tensor.element_type
        if kind is None or tensor.data_type == STRING:
            raise TensorMismatch(
                f"{label} has the data type {tensor.data_type}, which cannot be stored outside the file; export it again."
            )
        return -(-self._elements(tensor.dims, label) * kind.bits // 8)

    def read(self, start: int, end: int) -> Tensor:
        """Read a tensor's description, stepping over its data."""
        tensor = Tensor()
        for what, begin, stop in self._file.fields(TENSOR, start, end):
            if what == "raw_data":
                tensor.raw_bytes = stop - begin
                self.data_bytes += stop - begin
            elif what == "data_type":
                tensor.data_type = self._file.number(begin) & 0xFFFF_FFFF  # an int32: higher bits are cut off
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
            f"A tensor in the file has more than {self._limits.max_rank} dimensions; export the file again."
        )

    def _count_numbers(self, tensor: Tensor, what: str, start: int, end: int) -> None:
        size = end - start
        if what in _FIXED:
            count, rest = divmod(size, _FIXED[what])
            if rest:
                raise Malformed(f"A list of numbers at byte {start:,} is incomplete; export the file again.")
        elif what in _VARIABLE:
            count = self._file.count_ends(start, end) // _VARIABLE[what]
        else:  # strings; segments and documentation are not data
            count = int(what == "string_data")
        if count:
            name = what.removesuffix(PACKED)
            tensor.numbers[name] = tensor.numbers.get(name, 0) + count
            self.data_bytes += size

    def _elements(self, dims: Iterable[int], label: str) -> int:
        count, is_empty = 1, False
        for axis, size in enumerate(dims):
            is_empty |= size == 0
            count *= size or 1  # an empty tensor's other sizes may still overflow
            if size < 0 or count > self._limits.max_elements:
                raise TensorOverflow(
                    f"{label} has an impossible shape ({size} in dimension {axis}); export the file again."
                )
        return 0 if is_empty else count

    def _check_bytes(self, tensor: Tensor, elements: int, label: str) -> None:
        kind = tensor.element_type
        if kind is None:
            raise TensorMismatch(
                f"{label} has the unknown data type {tensor.data_type}; export the file again."
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
                f"{label} has a shape of {elements:,} elements, which its type stores as {expected:,} {unit}, but"
                f" it contains {got:,} {unit}; export the file again."
            )


def _outside(tensor: Tensor, label: str) -> str:
    if not tensor.location:
        return f"{label} has its data outside the file; export the model as one file."
    return (
        f"{label} has its data in another file, {quote_name(tensor.location)}; send that file as well, or export the"
        " model with external_data=False."
    )


# The runtime reads what follows as an address: a hostile file could read or change this process's memory.
_MARKER = b"_ORT_MEM_ADDR_"


def check_entry(file: WireFile, limits: ScanLimits, start: int, end: int, owner: object) -> bytes:
    """Check a key-value pair for the runtime's memory marker; return its key. The refusal names the owner."""
    key = b""
    for what, begin, stop in file.fields(ENTRY, start, end):
        if stop - begin > limits.max_text_bytes:
            raise TooMuch(
                f"The entry {quote_name(key)} of {owner} has {stop - begin:,} bytes; the limit is"
                f" {limits.max_text_bytes:,}. Leave it out."
            )
        text = file.text(begin, stop)
        if _MARKER in text:
            raise MemoryMarker(
                f"The entry {quote_name(text if what == 'key' else key)} of {owner} contains a memory address, which only"
                " the runtime may use; export the file again."
            )
        if what == "key":
            key = text
    return key
