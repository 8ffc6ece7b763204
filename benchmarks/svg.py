"""A small writer of SVG: text, lines, bars and logarithmic scales, readable on light and on dark pages.

Written by hand because two charts don't justify a plotting library: the smallest good one brings 60 MB along.
"""

import math
from dataclasses import dataclass, field
from html import escape

COLORS = {  # Okabe and Ito's, told apart by colour-blind people too
    "blue": ("#0072b2", "#56b4e9"),
    "orange": ("#c77700", "#e69f00"),
    "green": ("#009e73", "#2fc79b"),
    "red": ("#d55e00", "#ff8b45"),
    "pink": ("#b0558c", "#e19cc4"),
    "grey": ("#6e7781", "#8b949e"),
}
INK = {"paper": ("#ffffff", "#0d1117"), "text": ("#1f2328", "#e6edf3"), "faint": ("#59636e", "#9198a1")}
INK["grid"] = ("#d1d9e0", "#30363d")
_DARK = "@media (prefers-color-scheme: dark)"


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values from ``low`` to ``high`` on pixels from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    log: bool = True

    def at(self, value: float) -> float:
        """Return the pixel of a value; what lies outside is put on the edge."""
        value = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def powers(low: float, high: float, base: int) -> list[float]:
    """Return the powers of ``base`` from the last one at or below ``low`` to the first one at or above ``high``."""
    first = math.floor(math.log(low, base) + 1e-9)
    last = math.ceil(math.log(high, base) - 1e-9)
    return [float(base) ** exponent for exponent in range(first, max(last, first + 1) + 1)]


@dataclass(slots=True)
class Drawing:
    """Collects shapes; ``height`` may be set at the end."""

    title: str
    width: float
    height: float = 0
    _shapes: list[str] = field(default_factory=list)

    def text(self, x: float, y: float, words: str, kind: str = "text", anchor: str = "start") -> None:
        """Write words; ``kind`` is ``title``, ``strong``, ``text`` or ``faint``."""
        self._shapes.append(
            f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
        )

    def upright(self, x: float, y: float, words: str) -> None:
        """Write words from below to above, centred at the point: the name of a vertical axis."""
        self._shapes.append(
            f'<text class="faint" transform="translate({x:.1f} {y:.1f}) rotate(-90)" text-anchor="middle">{escape(words)}</text>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> None:
        """Draw a straight line; ``kind`` is ``grid`` or ``axis``."""
        self._shapes.append(f'<path class="{kind}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>')

    def bar(self, x1: float, y: float, x2: float, height: float, color: str) -> None:
        """Draw a bar between two pixels, at least as wide as a line."""
        left, width = min(x1, x2), max(abs(x2 - x1), 1.5)
        self._shapes.append(
            f'<rect class="fill-{color}" x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="1.5"/>'
        )

    def curve(self, points: list[tuple[float, float]], color: str) -> None:
        """Draw points and the lines between them."""
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        self._shapes.append(f'<path class="line-{color}" d="M{path}"/>')
        self._shapes += [f'<circle class="fill-{color}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in points]

    def render(self) -> str:
        """Return the document."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width:.0f}" height="{self.height:.0f}" '
            f'viewBox="0 0 {self.width:.0f} {self.height:.0f}" role="img">\n<title>{escape(self.title)}</title>\n'
            f"<style>\n{_style(0)}\n{_DARK} {{\n{_style(1)}\n}}\n</style>\n"
            f'<rect class="paper" width="100%" height="100%" rx="6"/>\n' + "\n".join(self._shapes) + "\n</svg>\n"
        )


def _style(dark: int) -> str:
    ink = {name: shades[dark] for name, shades in INK.items()}
    rules = [
        f".paper {{ fill: {ink['paper']} }}",
        f"text {{ font: 12px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: {ink['text']} }}",
        f".title {{ font-size: 17px; font-weight: 600 }} .strong {{ font-weight: 600 }} .faint {{ fill: {ink['faint']} }}",
        f".grid {{ stroke: {ink['grid']}; stroke-width: 1 }} .axis {{ stroke: {ink['faint']}; stroke-width: 1.5 }}",
    ]
    for name, shades in COLORS.items():
        rules.append(f".fill-{name} {{ fill: {shades[dark]} }}")
        rules.append(f".line-{name} {{ fill: none; stroke: {shades[dark]}; stroke-width: 2 }}")
    return "\n".join(rules)
