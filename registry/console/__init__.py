"""The admin's pages that join rooms: home, Models, versions; and what apps above add to them."""

from registry.kit.admin.panels import Place, register_columns, register_panel

__all__ = ["Place", "register_columns", "register_panel"]
