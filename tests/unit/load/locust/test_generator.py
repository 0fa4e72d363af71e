from __future__ import annotations

from pathlib import Path

import pytest

from chaos.errors import InvalidValue
from chaos.load.locust.generator import refuse
from chaos.load.port import ClosedModel, LoadPlan, OpenModel, Requests
from chaos.model.marks import FlowMark

MARK = FlowMark(prefix="0123456789ab00010002")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9080/", "https://shop.example/cart?id=1", "http://[::1]:80/"])
def test_a_url_with_scheme_and_host_is_taken(url: str) -> None:
    refuse(LoadPlan(what=Requests(url=url), model=OpenModel(1.0), timeout=1.0, mark=MARK))


@pytest.mark.parametrize("url", ["/productpage", "127.0.0.1:9080/", "ftp://host/", "http:///path", "", str(Path("x"))])
def test_any_other_url_is_refused_by_name(url: str) -> None:
    with pytest.raises(InvalidValue, match=f'not to "{url}"'):
        refuse(LoadPlan(what=Requests(url=url), model=ClosedModel(1), timeout=1.0, mark=MARK))
