"""The commands. Everything else is imported when a command needs it: `--version` answers at once."""

from .program import cli, execute, main

__all__ = ["cli", "execute", "main"]
