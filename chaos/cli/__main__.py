"""`python -m chaos.cli`, for a checkout that is not installed."""

from chaos.cli import main

main()
