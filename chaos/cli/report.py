"""`istio-chaos report`: a run told again, and its reports written again, from the events it left; also of one that was killed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from chaos.report import table
from chaos.report.html_report import HtmlReport
from chaos.report.json_report import JsonReport
from chaos.report.story import Story
from chaos.report.stream import merged, write


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--plain", is_flag=True, help="ASCII only.")
def report(folder: Path, plain: bool) -> None:
    """Show what came of the run in FOLDER (reports/runs/<run>) and write its report.json and report.html."""
    files = write(folder, [JsonReport(), HtmlReport()])
    story = Story.of(merged(folder))
    plain = plain or table.needs_plain(sys.stdout.encoding)
    width = shutil.get_terminal_size().columns
    for line in [*table.table(story, width=width, plain=plain), *table.reasons(story, width=width, plain=plain)]:
        click.echo("".join(_styled(text, style) for text, style in line))
    for file in files:
        click.echo(f"report: {file}")


def _styled(text: str, style: str) -> str:
    words = style.split()
    colour = next((word for word in words if word not in ("bold", "light")), None)
    return click.style(text, fg=colour, bold="bold" in words or None, dim="light" in words or None)
