from __future__ import annotations

from typing import Any

import pytest

from chaos.envoy.statistics import keeps

NAME = "vhost.store.shop.svc.cluster.local:80.route.istio-chaos.0123456789ab.1.upstream_rq_total"


@pytest.mark.parametrize(
    ("matcher", "kept"),
    [
        (None, True),
        ({"reject_all": True}, False),
        ({"inclusion_list": {"patterns": []}}, False),
        ({"inclusion_list": {"patterns": [{"prefix": "vhost."}]}}, True),
        ({"inclusion_list": {"patterns": [{"prefix": "cluster."}, {"suffix": "rq_total"}]}}, True),
        ({"inclusion_list": {"patterns": [{"safe_regex": {"regex": "vhost.*istio-chaos.*"}}]}}, True),
        ({"inclusion_list": {"patterns": [{"safe_regex": {"regex": "istio-chaos"}}]}}, False),
        ({"inclusion_list": {"patterns": [{"contains": "ISTIO-CHAOS", "ignore_case": True}]}}, True),
        ({"inclusion_list": {"patterns": [{"contains": "ISTIO-CHAOS"}]}}, False),
        ({"exclusion_list": {"patterns": [{"exact": NAME}]}}, False),
        ({"exclusion_list": {"patterns": [{"prefix": "cluster."}]}}, True),
    ],
)
def test_a_matcher_keeps_what_it_includes_or_does_not_exclude(matcher: Any, kept: bool) -> None:
    assert keeps({"stats_matcher": matcher} if matcher else {}, NAME) is kept
