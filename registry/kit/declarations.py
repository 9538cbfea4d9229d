"""What a model file says about itself: its metadata, and its inputs and outputs. None of it is proven."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DeclaredTensor:
    """An input or output. The name is untrusted."""

    name: str
    element_type: int  # ONNX's number
    shape: tuple[int | None, ...] | None  # None instead of a size: any; None instead of a shape: of any rank


@dataclass(frozen=True, slots=True)
class Declaration:
    """Texts are untrusted. Inputs that have a value in the file are left out."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[DeclaredTensor, ...] = ()
    outputs: tuple[DeclaredTensor, ...] = ()


NOTHING = Declaration()
