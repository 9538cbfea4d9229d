"""How much a file may hold, and the count of what it holds."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from registry.intake.gate.errors import TooMuch

# What ONNX Runtime 1.31 reads, asked of it in tests; older ones read less and say so in the probe.
# Every other domain is refused, training among them: nothing here trains.
_OPSETS = MappingProxyType({"ai.onnx": 26, "ai.onnx.ml": 5, "com.microsoft": 1})


@dataclass(frozen=True, slots=True)
class GateLimits:
    """What a file may hold. Fields bound the time that checking takes: about a second for a million."""

    max_file_bytes: int = 2**31 - 1  # protobuf's own, and so the largest file without external data
    max_plain_bytes: int = 256 << 20  # all but the numbers of tensors and attributes
    max_dense_bytes: int = 2**31 - 1  # of sparse tensors, which the runtime writes out when it loads
    max_elements: int = 2**40  # of one tensor; a product beyond it could overflow further on
    max_rank: int = 64
    max_depth: int = 64  # messages in messages, and functions that call functions; protobuf ends at 100
    max_fields: int = 20_000_000
    max_nodes: int = 1_000_000  # with every function written out where it is called, as the runtime does
    max_outputs: int = 2_000_000  # of nodes; their names are held while their graph is checked
    max_attributes: int = 4_000_000
    max_tensors: int = 1_000_000
    max_functions: int = 10_000
    max_operators: int = 100_000  # different ones, of the model and of each function
    max_imports: int = 100_000  # of operator sets
    max_ends: int = 10_000  # inputs and outputs of the model
    max_name_bytes: int = 4_096
    max_text_bytes: int = 16 << 20  # one value of the metadata
    max_data_files: int = 500  # that one model may name
    max_outside_tensors: int = 100_000  # whose weights lie in those files
    min_ir_version: int = 3  # the first whose files say which operators they mean
    max_ir_version: int = 13
    opsets: Mapping[str, int] = field(default_factory=lambda: _OPSETS)


DEFAULT = GateLimits()


class Tally:
    """Counts what a file holds, and refuses what is over its limit."""

    def __init__(self, limits: GateLimits) -> None:
        self._limits = {
            "nodes": limits.max_nodes,
            "outputs of nodes": limits.max_outputs,
            "attributes": limits.max_attributes,
            "tensors": limits.max_tensors,
            "functions": limits.max_functions,
            "different operators": limits.max_operators,
            "operator sets": limits.max_imports,
            "inputs and outputs": limits.max_ends,
            "bytes in sparse tensors": limits.max_dense_bytes,
        }
        self.counts: Counter[str] = Counter()

    def add(self, what: str, number: int = 1) -> int:
        """Count, and give the number so far; raise TooMuch."""
        self.counts[what] = count = self.counts[what] + number
        if count > self._limits[what]:
            raise TooMuch(
                f"The file holds more than {self._limits[what]:,} {what}, which is the limit; send a smaller model."
            )
        return count
