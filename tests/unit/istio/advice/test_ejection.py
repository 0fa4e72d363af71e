from __future__ import annotations

import pytest

from chaos.istio.lint import lint
from tests.manifests import documents

WORLD = """\
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {selector: {app: reviews}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews-v1}
spec: {replicas: %d, template: {metadata: {labels: {app: reviews, version: v1}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews-v2}
spec: {replicas: 1, template: {metadata: {labels: {app: reviews, version: v2}}}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: vms}
spec:
  hosts: [vm.internal]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 192.0.2.1}, {address: 192.0.2.2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api}
spec: {hosts: [api.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec: {host: %s, %s}
"""


def advice(spec: str, *, host: str = "reviews", replicas: int = 3) -> list[str]:
    found = lint(documents(WORLD % (replicas, host, spec)))
    return [f"{finding.path}: {finding.message}" for finding in found if finding.code == "CHAOS0007"]


@pytest.mark.parametrize(
    ("percent", "replicas", "warned"),
    [("", 3, True), ("", 9, False), ("", 8, True), ("maxEjectionPercent: 25", 3, False), ("maxEjectionPercent: 24", 3, True)],
)
def test_ejecting_one_must_stay_within_the_share(percent: str, replicas: int, warned: bool) -> None:
    found = advice(f"trafficPolicy: {{outlierDetection: {{{percent}}}}}", replicas=replicas)
    assert len(found) == warned


def test_it_says_how_much_would_do() -> None:
    (found,) = advice("trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}}")
    assert found.startswith("spec.trafficPolicy.outlierDetection.maxEjectionPercent: maxEjectionPercent is 10 by default")
    assert found.endswith(": no host of reviews (replicas: 4) is ever ejected; 25 would allow one")


def test_subsets_have_fewer_hosts() -> None:
    subsets = "subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]"
    (found,) = advice(f"trafficPolicy: {{outlierDetection: {{maxEjectionPercent: 50}}}}, {subsets}")
    assert "no host of subset v2 (replicas: 1) is ever ejected; 100 would allow one" in found


def test_a_subset_with_a_policy_of_its_own() -> None:
    own = "trafficPolicy: {outlierDetection: {maxEjectionPercent: 100}}"
    subsets = f"subsets: [{{name: v2, labels: {{version: v2}}, {own}}}]"
    assert advice(f"trafficPolicy: {{outlierDetection: {{maxEjectionPercent: 50}}}}, {subsets}") == []


def test_settings_for_one_port() -> None:
    (found,) = advice("trafficPolicy: {portLevelSettings: [{port: {number: 80}, outlierDetection: {}}]}")
    assert found.startswith("spec.trafficPolicy.portLevelSettings[0].outlierDetection")


@pytest.mark.parametrize(("host", "warned"), [("vm.internal", True), ("api.com", False), ("nobody", False)])
def test_endpoints_that_can_be_counted(host: str, warned: bool) -> None:
    assert len(advice("trafficPolicy: {outlierDetection: {}}", host=host)) == warned


def test_without_outlier_detection_there_is_nothing_to_say() -> None:
    assert advice("trafficPolicy: {loadBalancer: {simple: RANDOM}}") == []
