"""Services of bundles."""

from registry.intake.bundles.services.exports import bundle_name, export_bundle, make_bundle
from registry.intake.bundles.services.imports import ImportedBundle, import_bundle

__all__ = ["ImportedBundle", "bundle_name", "export_bundle", "import_bundle", "make_bundle"]
