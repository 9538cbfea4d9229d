"""Scans an uploaded file before any native parser reads it. Uses only the standard library."""

from registry.intake.file_scan.limits import ScanLimits
from registry.intake.file_scan.scan import FileFacts, scan_file

__all__ = ["FileFacts", "ScanLimits", "scan_file"]
