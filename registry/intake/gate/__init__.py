"""What is known of an uploaded file before any native parser sees it. A library: standard library only."""

from registry.intake.gate.limits import GateLimits
from registry.intake.gate.onnx_gate import GateFacts, check_file

__all__ = ["GateFacts", "GateLimits", "check_file"]
