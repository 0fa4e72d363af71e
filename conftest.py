"""A checkout uses its own plugin, by the same name as an installation does; `pytester` runs pytest inside the acceptance tests."""

pytest_plugins = ["pytest_chaos", "pytester"]
