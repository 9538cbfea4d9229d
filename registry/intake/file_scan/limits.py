"""Limits for files, and counters that enforce them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from registry.intake.file_scan.errors import TooMuch

# What ONNX Runtime 1.31 supports, verified in tests; older releases support less, which the check's load step reports.
# Every other domain is refused, including training.
_OPSETS = MappingProxyType({"ai.onnx": 26, "ai.onnx.ml": 5, "com.microsoft": 1})


@dataclass(frozen=True, slots=True)
class ScanLimits:
    """What a file may contain. The number of fields limits the time of a scan: about a second per million."""

    max_file_bytes: int = 2**31 - 1  # protobuf's limit, and so the largest file without external data
    max_plain_bytes: int = 256 << 20  # everything but the numbers of tensors and attributes
    max_dense_bytes: int = 2**31 - 1  # of sparse tensors, which the runtime expands on load
    max_elements: int = 2**40  # of one tensor; larger products could overflow later
    max_rank: int = 64
    max_depth: int = 64  # of nested messages, and of function calls; protobuf's limit is 100
    max_fields: int = 20_000_000
    max_nodes: int = 1_000_000  # with every function inlined, as the runtime does
    max_outputs: int = 2_000_000  # of nodes; their names are kept while a graph is scanned
    max_attributes: int = 4_000_000
    max_tensors: int = 1_000_000
    max_functions: int = 10_000
    max_operators: int = 100_000  # distinct ones, of the model and of each function
    max_imports: int = 100_000  # of operator sets
    max_ends: int = 10_000  # inputs and outputs of the model
    max_name_bytes: int = 4_096
    max_text_bytes: int = 16 << 20  # one value of the metadata
    max_data_files: int = 500  # named by one model
    max_outside_tensors: int = 100_000  # with their data in those files
    min_ir_version: int = 3  # the first with operator set versions in the file
    max_ir_version: int = 13
    opsets: Mapping[str, int] = field(default_factory=lambda: _OPSETS)


DEFAULT = ScanLimits()


class ItemCounts:
    """Counts what a file contains, and refuses what exceeds its limit."""

    def __init__(self, limits: ScanLimits) -> None:
        self._limits = {
            "nodes": limits.max_nodes,
            "outputs of nodes": limits.max_outputs,
            "attributes": limits.max_attributes,
            "tensors": limits.max_tensors,
            "functions": limits.max_functions,
            "distinct operators": limits.max_operators,
            "operator sets": limits.max_imports,
            "inputs and outputs": limits.max_ends,
            "bytes in sparse tensors": limits.max_dense_bytes,
        }
        self.counts: Counter[str] = Counter()

    def add(self, what: str, number: int = 1) -> int:
        """Add to a count and return it; raise TooMuch if it exceeds its limit."""
        self.counts[what] = count = self.counts[what] + number
        if count > self._limits[what]:
            raise TooMuch(
                f"The file has more than {self._limits[what]:,} {what}, which is the limit; send a smaller model."
            )
        return count
