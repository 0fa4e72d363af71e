"""`istio-chaos translate`: what would istiod push to this proxy for these manifests?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from chaos.envoy.configuration import Configuration
from chaos.envoy.translation import translate as translate_world
from chaos.istio import meshconfig
from chaos.istio.documents import Document, read
from chaos.istio.targets import unserved
from chaos.istio.unsupported import unsupported
from chaos.istio.validate import refusals
from chaos.istio.world import DEFAULT_PROFILE, PROFILES, World


@click.command()
@click.option(
    "-f", "--file", "files", multiple=True, required=True, type=click.Path(path_type=Path), help="Manifests: file or folder."
)
@click.option("--mesh-config", type=click.Path(path_type=Path), help="MeshConfig, alone or in its ConfigMap.")
@click.option("--profile", default=DEFAULT_PROFILE, show_default=True, type=click.Choice(PROFILES), help="Istio's minor version.")
@click.option("--proxy", required=True, metavar="POD.NAMESPACE", help="Whose configuration, as in reviews-v1.default.")
@click.option("-o", "--output", default="json", show_default=True, type=click.Choice(["json", "yaml"]))
def translate(files: Sequence[Path], mesh_config: Path | None, profile: str, proxy: str, output: str) -> None:
    """Print the Envoy configuration that istiod would push to a proxy.

    Objects that istiod refuses are left out, as on a cluster, where they could not have been created; they and fields
    without effect here are listed on standard error.
    """
    documents = list(_accepted(read(files), profile))
    world = World.of(
        documents,
        mesh_config=meshconfig.read(mesh_config) if mesh_config else None,
        profile=profile,
        api_defaults=False,
    )
    configuration = translate_world(world, proxy)
    for remark in unsupported(documents, minor=world.minor):
        click.echo(f"no effect here: {remark}", err=True)
    for service, port in unserved(world, world.proxy(proxy).pod):
        why = f'port "{port.name}" names container port "{port.target}", which says no protocol; write protocol: TCP there'
        click.echo(f"no inbound port: {service.document.place('spec', 'ports')}: {why}", err=True)
    click.echo(_text(configuration, output))


def _accepted(documents: Iterable[Document], profile: str) -> Iterable[Document]:
    for document in documents:
        found = refusals(document, minor=int(profile.removeprefix("1.")))
        for finding in found:
            click.echo(f"refused: {finding}", err=True)
        if not found:
            yield document


def _text(configuration: Configuration, output: str) -> str:
    lists = configuration.as_lists()
    if output == "json":
        return json.dumps(lists, indent=2)
    return yaml.dump(lists, Dumper=_PlainDumper, sort_keys=False, width=120).rstrip()


class _PlainDumper(yaml.SafeDumper):
    """Without anchors: resources share what they have in common, a reader wants to see it in each."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
