"""A place in a document between two marks, where a command writes its table: no figure there is written by hand."""

from __future__ import annotations

from pathlib import Path


class Place:
    """The place of the table that ``python -m <module> --readme`` writes."""

    def __init__(self, module: str) -> None:
        self.begin = f"<!-- python -m {module} --readme: begin -->\n"
        self.end = f"<!-- python -m {module} --readme: end -->\n"

    def read(self, readme: Path) -> str:
        """The text that stands there."""
        return self._parts(readme)[1]

    def write(self, readme: Path, text: str) -> None:
        """Put this text there."""
        before, _, after = self._parts(readme)
        readme.write_text(f"{before}{self.begin}{text}{self.end}{after}", encoding="utf-8")

    def _parts(self, readme: Path) -> tuple[str, str, str]:
        before, _, rest = readme.read_text(encoding="utf-8").partition(self.begin)
        text, found, after = rest.partition(self.end)
        if not found:
            raise SystemExit(f"{readme} has no place for the table: {self.begin}{self.end}")
        return before, text, after


def duration(microseconds: float) -> str:
    """With the unit that suits it."""
    for limit, unit, divisor in ((1000, "µs", 1), (1_000_000, "ms", 1000)):
        if microseconds < limit:
            return f"{_digits(microseconds / divisor)} {unit}"
    return f"{_digits(microseconds / 1_000_000)} s"


def thousands(value: float) -> str:
    """A whole number in groups of three."""
    return f"{value:,.0f}".replace(",", " ")


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
