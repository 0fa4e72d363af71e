from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

from chaos.errors import ConfigurationError
from chaos.load.locust.child import environment, refuse_locust_in_process

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize(
    "name", ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "all_proxy", "NO_PROXY", "LOCUST_HOST", "LOCUST_SKIP_MONKEY_PATCH"]
)
def test_the_child_inherits_no_proxy_and_no_settings_of_locust(name: str) -> None:
    assert environment({name: "x", "PATH": "/bin"}).keys() - {"PYTHONPATH"} == {"PATH"}


def test_the_child_can_import_what_we_can(monkeypatch: pytest.MonkeyPatch) -> None:
    path = environment({"PYTHONPATH": "/mine"})["PYTHONPATH"].split(os.pathsep)

    assert path == [str(ROOT), str(ROOT / "plugins"), "/mine"]


def test_an_installation_needs_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Site-packages in PYTHONPATH would come before the standard library."""
    monkeypatch.setattr(sysconfig, "get_path", {"purelib": str(ROOT), "platlib": str(ROOT / "plugins")}.__getitem__)

    assert "PYTHONPATH" not in environment({})


def test_locust_in_this_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_locust_in_process()
    monkeypatch.setitem(sys.modules, "locust", ModuleType("locust"))

    with pytest.raises(ConfigurationError, match=r"locustfile\(.*-p no:locust"):
        refuse_locust_in_process()
