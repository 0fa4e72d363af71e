from __future__ import annotations

from pathlib import Path
from typing import Any

from chaos.istio.documents import Document, read_text
from chaos.istio.spelling import normal


def document(spec: str) -> Document:
    text = f"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: a}}\nspec: {{{spec}}}"
    (found,) = read_text(text, Path("m.yaml"))
    return found


def spec(text: str) -> Any:
    return normal(document(text)).spec


def test_the_usual_spelling_is_left_alone() -> None:
    usual = document("hosts: [a], http: [{retries: {perTryTimeout: 1s}, timeout: 1s}]")
    assert normal(usual) is usual


def test_proto_names_become_json_names_at_every_depth() -> None:
    assert spec("export_to: [.], http: [{cors_policy: {allow_methods: [GET]}, retries: {per_try_timeout: 1s}}]") == {
        "exportTo": ["."],
        "http": [{"corsPolicy": {"allowMethods": ["GET"]}, "retries": {"perTryTimeout": "1s"}}],
    }


def test_camel_case_wins_where_both_stand() -> None:
    assert spec("http: [{retries: {per_try_timeout: 1s, perTryTimeout: 2s}}]")["http"][0]["retries"] == {"perTryTimeout": "2s"}


def test_names_that_people_choose_stay() -> None:
    match = "http: [{match: [{headers: {source_labels: {exact: a}}, source_labels: {my_label: b}}]}]"
    assert spec(match)["http"][0]["match"] == [{"headers": {"source_labels": {"exact": "a"}}, "sourceLabels": {"my_label": "b"}}]


def test_other_kinds_are_not_touched() -> None:
    (service,) = read_text("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {export_to: x}", Path("m.yaml"))
    assert normal(service) is service
