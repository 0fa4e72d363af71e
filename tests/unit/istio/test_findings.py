from __future__ import annotations

from chaos.istio.findings import Level, about, origin_of, written
from tests.manifests import FILE, documents

TEXT = """\
apiVersion: v1
kind: Service
metadata: {name: a}
spec:
  ports:
  - {name: http, port: 80}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
"""


def test_a_finding_knows_its_place() -> None:
    service, _ = documents(TEXT)
    finding = about(service, "IST0118", Level.INFO, "unclear", "spec", "ports", 0, "name")
    assert finding.as_json() == {
        "code": "IST0118",
        "level": "Info",
        "origin": "Service default/a",
        "message": "unclear",
        "file": str(FILE),
        "line": 6,
        "path": "spec.ports[0].name",
    }
    assert str(finding) == "manifests.yaml:6: Info [IST0118] Service default/a: spec.ports[0].name: unclear"


def test_without_a_path_it_is_about_the_whole_object() -> None:
    service, _ = documents(TEXT)
    finding = about(service, "X", Level.ERROR, "broken")
    assert (finding.line, finding.path) == (1, "")
    assert str(finding) == "manifests.yaml:1: Error [X] Service default/a: broken"


def test_some_objects_are_in_no_namespace() -> None:
    assert [origin_of(document) for document in documents(TEXT)] == ["Service default/a", "Namespace shop"]


def test_paths_as_people_write_them() -> None:
    assert written(("spec", "http", 0, "match", 1)) == "spec.http[0].match[1]"
    assert written(()) == ""
