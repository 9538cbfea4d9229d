"""The scan of an uploaded file before any native parser reads it. A library: standard library only."""

from registry.intake.file_scan.limits import ScanLimits
from registry.intake.file_scan.scan import FileFacts, scan_file

__all__ = ["FileFacts", "ScanLimits", "scan_file"]
