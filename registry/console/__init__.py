"""The admin's pages that join rooms: home, Models, versions; and the panels that apps above add to them."""

from registry.console.panels import Place, register_panel

__all__ = ["Place", "register_panel"]
