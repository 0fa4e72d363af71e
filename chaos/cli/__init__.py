"""What can be done from the shell? The command `istio-chaos`, thin over the library.

A command lives in the module of its name and is imported when it is called, so that `istio-chaos lint` does not pay for
Envoy and the mesh. Exit codes say whose turn it is: 0 held, 1 violated, 2 interrupted, 4 usage and configuration, 6
inconclusive, 7 environment, 16 an undo that failed.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import click

from chaos import errors

# Command -> the module that has a click command of the same name.
COMMANDS: Mapping[str, str] = {
    "doctor": "chaos.cli.doctor",
    "down": "chaos.cli.down",
    "lint": "chaos.cli.lint",
    "reap": "chaos.cli.reap",
    "report": "chaos.cli.report",
    "status": "chaos.cli.status",
    "sweep": "chaos.cli.sweep",
    "translate": "chaos.cli.translate",
    "up": "chaos.cli.up",
}
INTERRUPTED, USAGE = 2, 4
# The first class that an error is an instance of decides.
_EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (errors.UndoFailed, 16),
    (errors.EnvironmentFailure, 7),
    (errors.Inconclusive, 6),
    (errors.ChaosError, USAGE),
    (errors.Violated, 1),
)


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name.replace("-", "_"))
        return command

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _our_exit_codes():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _our_exit_codes():
            return super().invoke(ctx)


@contextlib.contextmanager
def _our_exit_codes() -> Iterator[None]:
    """Our errors become messages without a traceback; a wrong use is 4, since 2 means interrupted."""
    try:
        yield
    except (KeyboardInterrupt, click.Abort) as interrupted:
        raise click.exceptions.Exit(INTERRUPTED) from interrupted
    except click.UsageError as error:
        error.show()
        raise click.exceptions.Exit(USAGE) from error
    except (errors.ChaosError, errors.Violated) as error:
        click.echo(f"Error: {error}", err=True)
        raise click.exceptions.Exit(next(code for kind, code in _EXIT_CODES if isinstance(error, kind))) from error


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="istio-chaos")
def main() -> None:
    """Resilience tests for services on an Istio mesh."""
