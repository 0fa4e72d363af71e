from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from chaos.errors import ConfigurationError
from chaos.istio import meshconfig
from chaos.istio.meshconfig import MeshConfig


def test_the_defaults_are_istios() -> None:
    mesh = MeshConfig.of(None)
    assert mesh.root_namespace == "istio-system"
    assert mesh.outbound_mode == "ALLOW_ANY"
    assert mesh.connect_timeout == timedelta(seconds=10)
    assert mesh.default_virtual_service_export_to == ("*",)
    assert mesh.path_normalization == "BASE"
    assert mesh.locality_enabled


def test_what_is_written_counts() -> None:
    mesh = MeshConfig.of(
        {
            "rootNamespace": "mesh",
            "connectTimeout": "2.5s",
            "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"},
            "defaultServiceExportTo": ["."],
            "pathNormalization": {"normalization": "NONE"},
            "localityLbSetting": {"enabled": False},
        }
    )
    assert mesh.root_namespace == "mesh"
    assert mesh.connect_timeout == timedelta(seconds=2.5)
    assert mesh.outbound_mode == "REGISTRY_ONLY"
    assert mesh.default_service_export_to == (".",)
    assert mesh.path_normalization == "NONE"
    assert not mesh.locality_enabled


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"connectTimeout": 5}, "connectTimeout"),
        ({"defaultServiceExportTo": "."}, "defaultServiceExportTo"),
        ({"outboundTrafficPolicy": "ALLOW_ANY"}, "outboundTrafficPolicy"),
        ({"proxyHttpPort": "http"}, "proxyHttpPort"),
    ],
)
def test_a_wrong_shape_names_the_field(raw: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigurationError, match=field):
        MeshConfig.of(raw)


@pytest.mark.parametrize(
    "text",
    [
        "rootNamespace: mesh",
        "apiVersion: v1\nkind: ConfigMap\ndata: {mesh: 'rootNamespace: mesh'}",
        "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec: {meshConfig: {rootNamespace: mesh}}",
        "apiVersion: sailoperator.io/v1\nkind: Istio\nspec: {values: {meshConfig: {rootNamespace: mesh}}}",
    ],
)
def test_it_is_read_from_whatever_carries_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mesh.yaml"
    file.write_text(text)
    assert meshconfig.read(file) == {"rootNamespace": "mesh"}


@pytest.mark.parametrize("text", ["- a list", "a: [", "kind: ConfigMap\ndata: {mesh: 'a: ['}", None])
def test_what_is_no_mesh_config_is_refused_with_the_file(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "mesh.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"mesh\.yaml"):
        meshconfig.read(file)


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    file = tmp_path / "mesh.yaml"
    file.write_text("# nothing\n")
    assert meshconfig.read(file) == {}
