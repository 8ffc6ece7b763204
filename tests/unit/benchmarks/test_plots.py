"""The charts and the page that they go to."""

import xml.etree.ElementTree as ElementTree

import pytest

from benchmarks import plots
from benchmarks.harness import Growth, Result, Step
from benchmarks.report import PAGE, filled
from benchmarks.svg import Drawing, Scale, powers

SVG = "{http://www.w3.org/2000/svg}"


def result(subject: str, cpu_us: float, workload: str = "publish", rss_kb: float | None = None) -> Result:
    return Result(workload, subject, 1, 1.0, cpu_us, rss_kb=rss_kb)


def words(chart: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(chart).iter(f"{SVG}text")]  # noqa: S314


def bars(chart: str, color: str) -> list[tuple[float, float]]:
    """Return left edge and width of each bar of that colour, without the legend's."""
    found = ElementTree.fromstring(chart).iter(f"{SVG}rect")  # noqa: S314
    edges = [
        (float(bar.get("x", 0)), float(bar.get("width", 0))) for bar in found if bar.get("class") == f"fill-{color}"
    ]
    return edges[1:]


def test_a_logarithmic_scale_gives_each_power_the_same_room() -> None:
    scale = Scale(1, 100, 0, 200)
    assert [scale.at(value) for value in (1, 10, 100)] == [0, 100, 200]


def test_a_linear_scale_may_run_upwards() -> None:
    assert Scale(0, 10, 300, 100, log=False).at(5) == 200


def test_what_lies_outside_a_scale_is_put_on_its_edge() -> None:
    assert Scale(1, 100, 0, 200).at(1_000) == 200


@pytest.mark.parametrize(
    ("low", "high", "base", "expected"),
    [
        (0.3, 5, 2, [0.25, 0.5, 1, 2, 4, 8]),
        (1, 1, 2, [1, 2]),
        (100, 1_000, 10, [100, 1_000]),
        (0.9, 9, 10, [0.1, 1, 10]),
    ],
)
def test_powers_enclose_what_is_drawn(low: float, high: float, base: int, expected: list[float]) -> None:
    assert powers(low, high, base) == pytest.approx(expected)


def test_words_are_escaped() -> None:
    drawing = Drawing("a < b", 100, 50)
    drawing.text(0, 0, "<&>")
    assert words(drawing.render()) == ["<&>"]


def test_a_dearer_peer_has_its_bar_right_of_ours_and_a_cheaper_one_left_of_it() -> None:
    chart = plots.comparison("m", [result("sockudo_py", 10), result("soketi", 40), result("Sockudo", 5)])
    (dearer,), (cheaper,) = bars(chart, "orange"), bars(chart, "pink")
    assert cheaper[0] + cheaper[1] == pytest.approx(dearer[0], abs=0.2)
    assert dearer[1] == pytest.approx(2 * cheaper[1], rel=0.01)  # four times and half: two powers of two, and one


def test_ratios_and_absolute_costs_are_written_beside_the_bars() -> None:
    found = words(plots.comparison("m", [result("sockudo_py", 10), result("soketi", 25)]))
    assert "2.5x, 25.0 us" in found
    assert "sockudo_py 10.0 us" in found


def test_a_bar_beyond_the_scale_is_cut_and_says_so() -> None:
    chart = plots.comparison("m", [result("sockudo_py", 10), result("soketi", 6_000), result("Sockudo", 0.1)])
    assert "600x, 6,000 us (bar cut)" in words(chart)
    assert "0.01x, 0.10 us (bar cut)" in words(chart)
    assert "32x" in words(chart)
    assert "64x" not in words(chart)


def test_rows_with_memory_compare_memory_and_not_cpu() -> None:
    rows = [result("sockudo_py", 10, "idle memory", 2.0), result("soketi", 10, "idle memory", 6.0)]
    assert "3.0x, 6.0 KB" in words(plots.comparison("m", rows))


def test_a_workload_that_only_we_ran_is_no_comparison() -> None:
    rows = [result("sockudo_py", 10), result("soketi", 25), result("sockudo_py", 9, "webhook events")]
    assert "webhook events" not in words(plots.comparison("m", rows))


def test_the_machine_stands_below_both_charts() -> None:
    steps = [Step(0, 100, 10.0, 600.0), Step(100, 1_000, 11.0, 610.0)]
    for chart in (
        plots.comparison("a machine\nits Python", [result("sockudo_py", 10), result("soketi", 25)]),
        plots.cost_against_size("a machine\nits Python", [Growth("Channels", steps)]),
    ):
        assert words(chart)[-2:] == ["a machine", "its Python"]


def test_a_flat_cost_is_a_flat_line_in_both_panels() -> None:
    growth = Growth("Channels", [Step(0, 100, 10.0, 600.0), Step(100, 1_000, 10.0, 600.0)])
    root = ElementTree.fromstring(plots.cost_against_size("m", [growth]))  # noqa: S314
    heights = [float(point.get("cy", 0)) for point in root.iter(f"{SVG}circle")]
    assert len(heights) == 4
    assert heights[0] == heights[1]
    assert heights[2] == heights[3]


def test_joins_that_tell_everybody_are_drawn_per_member_who_is_told() -> None:
    steps = [Step(0, 100, 50.0, 600.0), Step(100, 300, 200.0, 600.0)]  # 1 us for each of 50, and of 200
    root = ElementTree.fromstring(plots.cost_against_size("m", [Growth("Members", steps, per_member=True)]))  # noqa: S314
    first, second, *_ = [float(point.get("cy", 0)) for point in root.iter(f"{SVG}circle")]
    assert first == second


def test_both_colour_schemes_are_in_the_file() -> None:
    chart = Drawing("title", 10, 10).render()
    assert "prefers-color-scheme: dark" in chart
    assert "#ffffff" in chart
    assert "#0d1117" in chart


def test_a_part_of_the_page_is_replaced_between_its_marks() -> None:
    page = "before\n<!-- rows -->\nold\n<!-- /rows -->\nafter\n"
    assert filled(page, {"rows": "new \\1"}) == "before\n<!-- rows -->\nnew \\1\n<!-- /rows -->\nafter\n"


def test_a_page_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="0 places for 'rows'"):
        filled("no marks", {"rows": "new"})


def test_the_performance_page_has_a_place_for_every_part() -> None:
    parts = {name: f"new {name}" for name in ("machine", "rows", "targets", "sizes")}
    page = filled(PAGE.read_text(), parts)
    assert all(text in page for text in parts.values())
