"""The two charts of docs/performance.md, as SVG: what the servers cost each other, and cost against size."""

from collections.abc import Callable

from benchmarks.harness import Growth, Result, Step
from benchmarks.svg import Drawing, Scale, powers

OWN = "sockudo_py"
SUBJECTS = {"soketi": "orange", "Sockudo": "pink", "send() floor": "grey"}
LINES = ("blue", "orange", "green", "pink", "red", "grey")
WIDTH = 880.0
MARGIN = 24.0
BAR, GAP = 18.0, 14.0
LEAST, MOST = 1 / 8, 32  # ratios; a bar beyond them is cut and says so, or the others would be too short to compare
# Its crowd is served by time and not by unit: CPU per unit depends on how long a publish takes.
NO_RATIO = ("bystander",)


def comparison(machine: str, results: list[Result]) -> str:
    """Return a chart of bars: CPU per unit (memory, where that was measured) of each peer over sockudo_py's."""
    rows: dict[str, dict[str, Result]] = {}
    for result in results:
        if not result.workload.startswith(NO_RATIO):
            rows.setdefault(result.workload, {})[result.subject] = result
    rows = {name: found for name, found in rows.items() if OWN in found and len(found) > 1}
    ratios = [1.0, *(_ratio(found, peer) for found in rows.values() for peer in found)]
    drawing = Drawing("What the other servers cost, compared with sockudo_py", WIDTH)
    drawing.text(MARGIN, 34, drawing.title, "title")
    drawing.text(
        MARGIN,
        54,
        "CPU per unit of work (memory: resident bytes per connection). "
        "Right of 1x it costs more than sockudo_py, left of it less.",
        "faint",
    )
    seen = {subject for found in rows.values() for subject in found}
    _legend(drawing, 80, [(peer, color) for peer, color in SUBJECTS.items() if peer in seen])
    ticks = powers(max(min(ratios), LEAST), min(max(ratios), MOST), 2)
    scale = Scale(ticks[0], ticks[-1], 276, WIDTH - 185)
    y = 112.0
    bottom = y + sum(_height(found) + GAP for found in rows.values())
    for tick in ticks:
        drawing.line(scale.at(tick), y - 8, scale.at(tick), bottom, "axis" if tick == 1 else "grid")
        drawing.text(scale.at(tick), bottom + 18, f"{tick:g}x" if tick >= 1 else f"1/{1 / tick:g}x", "faint", "middle")
    for name, found in rows.items():
        _compare(drawing, scale, y, name, found)
        y += _height(found) + GAP
    drawing.text(
        (scale.start + scale.end) / 2, bottom + 38, "times what sockudo_py costs (log scale)", "faint", "middle"
    )
    drawing.height = _footer(drawing, bottom + 66, machine)
    return drawing.render()


def _compare(drawing: Drawing, scale: Scale, top: float, name: str, found: dict[str, Result]) -> None:
    """Draw one workload: its name and our cost on the left, a bar for each peer."""
    middle = top + _height(found) / 2
    drawing.text(scale.start - 14, middle - 3, name, "strong", "end")
    drawing.text(scale.start - 14, middle + 12, f"{OWN} {_with_unit(found[OWN])}", "faint", "end")
    peers = [peer for peer in SUBJECTS if peer in found]
    y = middle - len(peers) * BAR / 2
    for peer in peers:
        ratio = _ratio(found, peer)
        drawing.bar(scale.at(1), y + 2, scale.at(ratio), BAR - 5, SUBJECTS[peer])
        words = f"{ratio:.{0 if ratio >= 10 else 1 if ratio >= 1 else 2}f}x, {_with_unit(found[peer])}"
        if not scale.low <= ratio <= scale.high:
            words += " (bar cut)"
        drawing.text(max(scale.at(ratio), scale.at(1)) + 6, y + 12, words)
        y += BAR


def _height(found: dict[str, Result]) -> float:
    return max((len(found) - 1) * BAR, 2 * BAR - 4)


def _ratio(found: dict[str, Result], peer: str) -> float:
    return _figure(found[peer]) / _figure(found[OWN])


def _figure(result: Result) -> float:
    return result.cpu_us if result.rss_kb is None else result.rss_kb


def _with_unit(result: Result) -> str:
    figure = _figure(result)
    if result.rss_kb is not None:
        return f"{figure:.1f} KB"
    if figure >= 10_000:
        return f"{figure / 1000:,.0f} ms"
    return f"{figure:,.{2 if figure < 10 else 1 if figure < 100 else 0}f} us"


def cost_against_size(machine: str, growths: list[Growth]) -> str:
    """Return two charts in one: CPU and memory of one more item against how many there are already."""
    drawing = Drawing("What one more costs when there are few and when there are many", WIDTH)
    drawing.text(MARGIN, 34, drawing.title, "title")
    drawing.text(
        MARGIN,
        54,
        "A flat line: the cost of one item does not grow with their number. Memory comes in pages: small steps are coarse.",
        "faint",
    )
    names = [growth.title + (" (CPU: per member who is told)" if growth.per_member else "") for growth in growths]
    y = _legend(drawing, 80, list(zip(names, LINES, strict=False)), down=True)
    top, bottom = y + 26, y + 316
    half = (WIDTH - 2 * MARGIN - 136) / 2
    for left, name, log, cost in (
        (MARGIN + 52, "CPU us per item (log scale)", True, _cpu),
        (MARGIN + half + 126, "resident bytes per item", False, _bytes),
    ):
        _panel(drawing, (left, left + half - 4, top, bottom), name, growths, cost, log)
    drawing.height = _footer(drawing, bottom + 70, machine)
    return drawing.render()


def _cpu(growth: Growth, step: Step) -> float:
    return step.cpu_us / ((step.before + step.after) / 2) if growth.per_member else step.cpu_us


def _bytes(growth: Growth, step: Step) -> float:
    return step.bytes


def _panel(
    drawing: Drawing,
    box: tuple[float, float, float, float],
    name: str,
    growths: list[Growth],
    cost: Callable[[Growth, Step], float],
    log: bool,
) -> None:
    left, right, top, bottom = box
    sizes = [step.after for growth in growths for step in growth.steps]
    costs = [cost(growth, step) for growth in growths for step in growth.steps]
    across_ticks = powers(min(sizes), max(sizes), 10)
    across = Scale(across_ticks[0], across_ticks[-1], left, right)
    ticks = powers(max(min(costs), 0.1), max(costs), 10) if log else _round_steps(max(costs))
    up = Scale(ticks[0], ticks[-1], bottom, top, log)
    for tick in across_ticks:
        drawing.line(across.at(tick), top, across.at(tick), bottom)
        drawing.text(across.at(tick), bottom + 18, f"{tick:,.0f}", "faint", "middle")
    for tick in ticks:
        drawing.line(left, up.at(tick), right, up.at(tick))
        drawing.text(left - 8, up.at(tick) + 4, f"{tick:,g}", "faint", "end")
    drawing.upright(left - 52, (top + bottom) / 2, name)
    drawing.text((left + right) / 2, bottom + 38, "items at the end of the step (log scale)", "faint", "middle")
    for growth, color in zip(growths, LINES, strict=False):
        drawing.curve([(across.at(step.after), up.at(cost(growth, step))) for step in growth.steps], color)


def _round_steps(top: float) -> list[float]:
    step = next(size for size in (100, 250, 500, 1_000, 2_500, 5_000, 10_000, 100_000) if top / size <= 7)
    return [float(step * index) for index in range(int(-(-top // step)) + 1)]


def _legend(drawing: Drawing, y: float, entries: list[tuple[str, str]], down: bool = False) -> float:
    """Draw the entries side by side, or one below the other; return the last line's y."""
    x = MARGIN
    for index, (name, color) in enumerate(entries):
        drawing.bar(x, y - 10, x + 12, 12, color)
        drawing.text(x + 18, y, name)
        if not down:
            x += 44 + 7 * len(name)
        elif index < len(entries) - 1:
            y += 19
    return y


def _footer(drawing: Drawing, y: float, machine: str) -> float:
    """Write the machine's lines; return the drawing's height."""
    for line in machine.splitlines():
        drawing.text(MARGIN, y, line, "faint")
        y += 17
    return y + 6
