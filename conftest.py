"""A checkout uses its own plugin, by the same name as an installation does."""

pytest_plugins = ["pytest_chaos"]
