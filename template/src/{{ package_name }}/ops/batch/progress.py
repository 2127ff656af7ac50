"""What a batch reports while it runs."""

from typing import Protocol


class Progress(Protocol):
    """Shows how far a batch is."""

    def start(self, *, rows: int, answered: int) -> None:
        """Show how many rows there are, and how many an earlier run has answered."""

    def add(self, *, answered: int, failed: int, tokens: int) -> None:
        """Count rows whose answers are stored."""
