"""Recipes as TOML, one a system: settings, per skeleton and by named variation."""
