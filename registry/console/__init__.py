"""The admin's pages that join rooms: home, Models, versions; and what apps above add to them."""
