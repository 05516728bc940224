"""The report and the montage: self-contained, everything said, nothing that runs or calls out."""

from __future__ import annotations

import base64
import dataclasses
import gc
import io
import itertools
import math
import re
import sys
import weakref
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from TemporalGliomaRisk import RESEARCH_USE_ONLY, numbers
from TemporalGliomaRisk.colours import LEAST_SCALE_TOP
from TemporalGliomaRisk.errors import GliomaRiskError
from TemporalGliomaRisk.report.charts import risk_curve, risk_strip
from TemporalGliomaRisk.report.html import ModelCard, render_report
from TemporalGliomaRisk.report.montage import write_montage
from TemporalGliomaRisk.report.pictures import ReportPictures, VisitVolumes, gather_pictures
from TemporalGliomaRisk.report.record import Measurement, ModelRecord, Peak, RiskRecord, VisitRecord, Warned
from TemporalGliomaRisk.timeline.volume import Geometry, Volume

CARD = ModelCard(
    name="evidence",
    version="0.1.0",
    trained_on="Simulated timelines <only>.",
    calibration="On simulated patients.",
    points=("Never shown a real child.",),
)
DAYS = (0, 97, 183, 370, 560, 742, 925, 1100, 1300, 1460, 1600, 1825)
PEAK = (18.0, 5.0, 4.0)


def a_record(count: int, *, heat: bool = True) -> RiskRecord:
    visits = []
    for index in range(count):
        risk = 0.05 + 0.05 * index
        hazard = -math.log1p(-risk)
        visits.append(
            VisitRecord(
                session_id=f"ses-{index + 1:02d}",
                days_since_first=DAYS[index],
                sequences=("FLAIR",),
                risk=risk,
                risk_low=risk / 2,
                risk_high=risk * 1.4,
                single_visit_risk=0.21,
                hazards=(hazard / 4, hazard / 4, hazard / 2, hazard),
                background_hazard=hazard / 10,
                heatmap="heatmaps/a.nii.gz" if heat else None,
                peaks=(Peak(name="A", ras_mm=PEAK, share_of_hazard=0.6, hazard_per_mL=0.02),) if heat else (),
                measurements=(
                    Measurement(name="Volume <hot>", value=3.14159, unit="mL"),
                    Measurement(name="How sure", value=0.98765, unit="probability"),
                ),
                warnings=(Warned(code="planted", message=f'<script>alert({index})</script> & "more"'),),
            )
        )
    model = ModelRecord(name="evidence", sha256="ab" * 32)
    return RiskRecord(patient="sub-01", horizon_days=365, model=model, visits=tuple(visits))


def volumes_of(index: int, *, heat: bool = True) -> VisitVolumes:
    matrix = np.diag([2.0, 2.0, 4.0, 1.0])
    matrix[:3, 3] = (-63, -63, -62)
    geometry = Geometry(shape=(64, 64, 32), ijk_to_ras=matrix)
    ijk = np.stack(np.meshgrid(*[np.arange(length) for length in geometry.shape], indexing="ij"), axis=-1)
    ras = geometry.to_ras(ijk)
    head = 500 * (np.linalg.norm(ras / (45, 55, 48), axis=-1) < 1) + 30 * np.cos(ras[..., 0] / 5)
    hot = 0.02 * np.exp(-((ras - PEAK) ** 2).sum(axis=-1) / 60)
    return VisitVolumes(
        reference=Volume(voxels=head.astype(np.float32), geometry=geometry),
        heatmap=Volume(voxels=hot.astype(np.float32), geometry=geometry) if heat else None,
        change=Volume(voxels=-hot, geometry=geometry) if heat and index else None,
        place_ras=PEAK,
    )


def volumes(count: int, *, heat: bool = True) -> Iterator[VisitVolumes]:
    return (volumes_of(index, heat=heat) for index in range(count))


@pytest.fixture(scope="module")
def pictures() -> ReportPictures:
    return gather_pictures(a_record(3), volumes(3))


@pytest.mark.parametrize(("heat", "change"), [(4.0, 2.0), (2.0, 4.0), (0.0, 0.0)])
def test_map_and_change_have_scales_of_their_own(heat: float, change: float) -> None:
    first, second = volumes(2)
    scaled = [
        dataclasses.replace(first, heatmap=_times(first.heatmap, heat)),
        dataclasses.replace(second, heatmap=_times(second.heatmap, heat / 2), change=_times(second.change, change)),
    ]
    found = gather_pictures(a_record(2), scaled)
    most = float(np.abs(first.heatmap.voxels).max())
    wanted = [max(most * times, LEAST_SCALE_TOP) for times in (heat, change)]
    assert [found.heat_top, found.change_top] == pytest.approx(wanted, rel=1e-6)


def _times(volume: Volume, factor: float) -> Volume:
    return dataclasses.replace(volume, voxels=volume.voxels * factor)


class Addresses(HTMLParser):
    """Every address that a browser would follow or fetch, and every element that could run."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.elements: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        for name, value in attributes:
            if name in {"src", "href", "xlink:href", "srcset", "data", "poster", "action"}:
                self.fetched.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)


def test_the_report_fetches_nothing_and_runs_nothing(pictures: ReportPictures) -> None:
    page = render_report(a_record(3), pictures, model_card=CARD)
    parser = Addresses()
    parser.feed(page)
    assert parser.fetched
    assert all(address.startswith("data:image/jpeg;base64,") for address in parser.fetched)
    assert not {"script", "link", "iframe", "object", "embed"} & set(parser.elements)
    assert not parser.handlers
    assert "@import" not in page
    assert not re.search(r"url\(", page)


def test_every_warning_measurement_and_caveat_is_in_the_report_escaped(pictures: ReportPictures) -> None:
    record = a_record(3)
    page = render_report(record, pictures, model_card=CARD)
    assert "<script" not in page
    for index in range(3):
        assert f"&lt;script&gt;alert({index})&lt;/script&gt; &amp; &#34;more&#34;" in page
    assert "Volume &lt;hot&gt;" in page
    assert "3.14 mL" in page
    assert ">0.988<" in page  # a probability has no unit
    assert "Simulated timelines &lt;only&gt;." in page
    assert record.model.caveat in page
    assert page.count(RESEARCH_USE_ONLY) >= 2
    assert "It is not a confidence interval" in page
    assert "R 18, A 5, S 4 mm" in page


def test_a_report_without_pictures_or_numbers_that_may_lack_still_says_the_risk() -> None:
    record = a_record(1, heat=False)
    visit = dataclasses.replace(record.visits[0], risk_low=None, risk_high=None, single_visit_risk=None)
    page = render_report(dataclasses.replace(record, visits=(visit,)), None, model_card=CARD)
    assert f"at <b>5{numbers.NARROW}%</b>." in page
    assert "None" not in page
    assert "Days since treatment unknown" in page


def test_slices_of_different_sequences_are_named_at_every_visit_where_they_change(
    pictures: ReportPictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = a_record(3)
    shown = ("FLAIR", "ce-gd_T1w", "ce-gd_T1w")
    pairs = zip(record.visits, shown, strict=True)
    visits = tuple(dataclasses.replace(visit, reference_sequence=name) for visit, name in pairs)
    record = dataclasses.replace(record, visits=visits)
    page = render_report(record, pictures, model_card=CARD)
    assert re.findall(r"Axial (\S+), without overlay", page) == list(shown)
    assert "They are not of one sequence" in page
    assert "They are not of one sequence" not in render_report(a_record(3), pictures, model_card=CARD)

    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: figures.append(self) or Path(path).touch())
    write_montage(record, pictures, tmp_path / "montage.png")
    named = [text.get_text() for axes in figures[0].axes for text in axes.texts if len(text.get_text()) > 1]
    wanted = [f"{name}{over}" for name in shown[:2] for over in ("", ", map over it", ", map over it")]
    assert named == wanted


def test_a_risk_from_one_visit_is_not_called_the_same_model_without_the_history(pictures: ReportPictures) -> None:
    page = render_report(a_record(3), pictures, model_card=CARD)
    first = re.split(r'<section class="visit"', page)[1]
    assert f"From this visit alone, a part of the model taught on single visits says 21{numbers.NARROW}%." in first
    assert "earlier" not in first  # a first visit has none to leave out
    assert "the same model without" not in page


def test_hazard_outside_the_field_of_view_is_told_as_a_part_of_the_visits_hazard() -> None:
    record = a_record(2, heat=False)
    visits = [
        dataclasses.replace(visit, outside_field_of_view_hazard=part * record.horizon_hazard(visit))
        for visit, part in zip(record.visits, (1e-5, 0.13), strict=True)
    ]
    page = render_report(dataclasses.replace(record, visits=tuple(visits)), None, model_card=CARD)
    told = re.findall(r"Of its hazard, ([^.]{,9}) lies outside this visit's field of view", page)
    assert told == [f"&lt;1{numbers.NARROW}%", f"13{numbers.NARROW}%"]


def test_the_word_uncertain_stands_beside_every_uncertain_risk_and_beside_no_other(pictures: ReportPictures) -> None:
    record = a_record(3)
    record = dataclasses.replace(record, visits=(record.visits[0], doubted(record.visits[1]), record.visits[2]))
    page = render_report(record, pictures, model_card=CARD)
    first, second, third = re.split(r'<section class="visit"', page)[1:]
    chip = re.search(
        r'class="chip"[^>]*>10\u202f%</span>\s*<b class="uncertain">uncertain: planted, long gap</b>', second
    )
    assert chip
    assert "It is <b>uncertain</b>, for the reasons below." in second
    assert "uncertain" not in first
    assert "uncertain" not in third.partition("</section>")[0]
    for drawing in ("strip", "curve"):
        title = re.search(rf'id="{drawing}-title">(.*?)</title>', page).group(1)
        assert title.count("uncertain") == 1
        assert re.search(r"Visit 2[^V]*, uncertain: planted, long gap\.", title)
    assert page.count(">uncertain</text>") == 1
    assert page.count(f'>10{numbers.NARROW}%<tspan class="doubt"> uncertain</tspan></text>') == 1
    assert page.count("Visit 2 is <b>uncertain: planted, long gap</b>.") == 1


def test_the_label_after_an_uncertain_one_stands_clear_of_its_word() -> None:
    def labels(*uncertain: int) -> list[int]:
        record = a_record(12)
        visits = [doubted(visit) if number in uncertain else visit for number, visit in enumerate(record.visits)]
        curve = risk_curve(dataclasses.replace(record, visits=tuple(visits)))
        return [number for number, mark in enumerate(curve.marks) if mark.label]

    assert labels()[:3] == [0, 1, 2]
    assert labels(0)[:2] == [0, 3]


def test_the_label_of_an_uncertain_last_visit_stays_in_the_drawing() -> None:
    record = a_record(3)
    record = dataclasses.replace(record, visits=(*record.visits[:2], doubted(record.visits[2])))
    curve = risk_curve(record)
    assert [mark.label_before for mark in curve.marks] == [False, False, True]
    assert curve.marks[-1].label
    page = render_report(record, None, model_card=CARD)
    (place,) = re.findall(r'<text class="strong halo" x="([\d.]+)" y="[\d.]+" text-anchor="end">', page)
    assert float(place) < curve.marks[-1].x


def doubted(visit: VisitRecord) -> VisitRecord:
    """The same visit, uncertain for two reasons that its warnings tell."""
    told = (Warned(code="planted", message="Planted."), Warned(code="long_gap", message="The gap is long."))
    return dataclasses.replace(visit, uncertain_because=("planted", "long_gap"), warnings=told)


def test_the_montage_says_which_risk_is_uncertain_and_why_and_how_the_maps_were_checked(
    pictures: ReportPictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    write = Figure.text

    def heard(figure: Figure, x: float, y: float, text: str, **style: object) -> object:
        assert 0 <= y <= 1
        said.append(text)
        return write(figure, x, y, text, **style)

    monkeypatch.setattr(Figure, "text", heard)
    record = a_record(3)
    check = "Maps of the same network with random weights resemble these by r = 0.10 over the brain, and so on."
    model = dataclasses.replace(record.model, heatmap_check=check)
    visits = (record.visits[0], doubted(record.visits[1]), record.visits[2])
    write_montage(dataclasses.replace(record, model=model, visits=visits), pictures, tmp_path / "montage.png")
    assert [text for text in said if "uncertain" in text] == [f"10{numbers.NARROW}%  uncertain"]
    assert said.count("planted, long gap") == 1
    assert check in " ".join(reversed(said))


def test_the_test_of_the_heatmap_is_told_beside_the_maps_alone(pictures: ReportPictures) -> None:
    record = a_record(3)
    model = dataclasses.replace(record.model, heatmap_check="Maps of <random> weights resemble these by r = 0.1.")
    record = dataclasses.replace(record, model=model)
    said = "Maps of &lt;random&gt; weights resemble these by r = 0.1."
    assert said in render_report(record, pictures, model_card=CARD).partition('<section class="visit"')[0]
    assert said not in render_report(record, None, model_card=CARD)


def test_identity_is_shown_only_when_given(pictures: ReportPictures) -> None:
    assert "jane_doe" not in render_report(a_record(3), pictures, model_card=CARD)
    assert "jane_doe" in render_report(a_record(3), pictures, model_card=CARD, identity="jane_doe")


def test_pictures_in_the_report_are_grey_without_heatmap_and_coloured_with_one(pictures: ReportPictures) -> None:
    def coloured(page: str) -> int:
        count = 0
        for text in re.findall(r"data:image/jpeg;base64,([^\"]+)", page):
            picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")).astype(int)
            assert picture.max() > 100
            count += int(np.ptp(picture, axis=2).max() > 40)
        return count

    grey = gather_pictures(a_record(3, heat=False), volumes(3, heat=False))
    assert coloured(render_report(a_record(3, heat=False), grey, model_card=CARD)) == 0
    # Three thumbnails, three planes a visit, and the change at the second and third.
    assert coloured(render_report(a_record(3), pictures, model_card=CARD)) == 3 + 9 + 2


def test_the_hot_place_on_the_patients_right_is_left_of_the_middle_and_under_its_mark(pictures: ReportPictures) -> None:
    axial = pictures.visits[0].at_peak[0]
    assert axial.heat is not None
    row, column = np.unravel_index(int(np.nan_to_num(axial.heat).argmax()), axial.heat.shape)
    assert column < axial.grey.shape[1] / 2
    assert axial.mark == pytest.approx((row, column), abs=1.5)


def test_only_one_visits_volumes_are_in_memory_at_once() -> None:
    alive: list[weakref.ref[Volume]] = []

    def noted(index: int) -> VisitVolumes:
        gc.collect()
        assert not any(volume() for volume in alive)
        of_visit = volumes_of(index)
        alive.append(weakref.ref(of_visit.reference))
        return of_visit

    gather_pictures(a_record(3), (noted(index) for index in range(3)))
    assert len(alive) == 3


@pytest.mark.parametrize("count", [2, 4])
def test_too_few_or_too_many_volumes_are_refused(count: int) -> None:
    with pytest.raises(GliomaRiskError, match="volumes of 3 visits"):
        gather_pictures(a_record(3), volumes(count))


@pytest.mark.parametrize("heat", [True, False])
def test_a_montage_of_twelve_visits_is_one_png_with_colour_only_where_heatmaps_are(tmp_path: Path, heat: bool) -> None:
    record = a_record(12, heat=heat)
    gathered = gather_pictures(record, volumes(12, heat=heat))
    write_montage(record, gathered, tmp_path / "montage.png")
    picture = Image.open(tmp_path / "montage.png")
    assert picture.format == "PNG"
    pixels = np.asarray(picture.convert("RGB")).astype(int)
    # Hot colours: red far above blue. The sentence below and the chips are amber, so only rows above them are read.
    hot = (pixels[..., 0] - pixels[..., 2] > 120)[: pixels.shape[0] // 2 - 90, : int(0.85 * pixels.shape[1])]
    assert hot.any() == heat
    assert [path.name for path in tmp_path.iterdir()] == ["montage.png"]


def test_drawing_leaves_matplotlibs_pyplot_and_backend_alone() -> None:
    import subprocess  # noqa: PLC0415

    code = (
        "import sys; import TemporalGliomaRisk.report.html, TemporalGliomaRisk.report.montage;"
        "assert not {'matplotlib', 'torch', 'jinja2', 'jsonschema'} & set(sys.modules), 'heavy import';"
        "from TemporalGliomaRisk.colours import heat_colours; heat_colours(0.5);"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize(("treatment", "origin"), [(30, "treatment"), (-5, "treatment"), (None, "the first visit")])
def test_every_day_of_report_and_montage_counts_from_one_day_which_is_said_once(
    pictures: ReportPictures,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    treatment: int | None,
    origin: str,
) -> None:
    record = a_record(3)
    visits = tuple(
        dataclasses.replace(
            visit, days_since_treatment=None if treatment is None else visit.days_since_first + treatment
        )
        for visit in record.visits
    )
    record = dataclasses.replace(record, visits=visits)
    days = [day + (treatment or 0) for day in DAYS[:3]]
    strip, curve = risk_strip(record, [None] * 3), risk_curve(record)
    report = render_report(record, None, model_card=CARD)
    said: list[str] = []
    savefig = Figure.savefig

    def read_and_save(figure: Figure, *arguments: Any, **named: Any) -> None:
        said.extend(text.get_text() for text in figure.texts)
        savefig(figure, *arguments, **named)

    monkeypatch.setattr(Figure, "savefig", read_and_save)
    write_montage(record, pictures, tmp_path / "montage.png")

    assert [text for text in said if text.startswith("day ")] == [f"day {day}" for day in days]
    assert [text.count(f"Day 0 is {origin}.") for text in said if "Day 0" in text] == [1]
    assert [tile.day for tile in strip.tiles] == [f"day {day}" for day in days]
    assert [mark.description.split(":")[0] for mark in curve.marks] == [
        f"Visit {number}, day {day}" for number, day in enumerate(days, start=1)
    ]
    for axis, places in (
        (strip.bands[0].ticks, [tile.at for tile in strip.tiles]),
        (curve.x_ticks, [m.x for m in curve.marks]),
    ):
        at = np.interp(days, [int(tick.label.split()[0]) for tick in axis], [tick.at for tick in axis])
        inside = np.array(days) >= int(axis[0].label.split()[0])
        inside &= np.array(days) <= int(axis[-1].label.split()[0])
        assert np.array(places)[inside] == pytest.approx(at[inside], abs=0.1)
        assert inside.any()
        assert all(60 <= place <= 1100 for place in places)
    assert report.lower().count("day 0 is") == report.lower().count(f"day 0 is {origin}") == 1
    assert report.count(f"days since {origin}</text>") == 2
    for number, day in enumerate(days, start=1):
        assert f"<li>Day {day}" in report
        other = f"{numbers.days(record.visits[number - 1].days_since_first)} since the first visit"
        assert (other in report) == (treatment is not None and number > 1)


def a_long_record(count: int) -> RiskRecord:
    """Visits every three months and a bit, all of an uncertain risk."""
    record = a_record(12)
    visits = tuple(
        dataclasses.replace(
            record.visits[index % 12],
            session_id=f"ses-{index + 1:03d}",
            days_since_first=93 * index + index % 3,
            warnings=(Warned(code="planted", message="Why."),),
            uncertain_because=("planted",),
        )
        for index in range(count)
    )
    return dataclasses.replace(record, visits=visits)


LETTER = 8.4 / 13
"""The widest usual letter of a label by the label's size, as wide fonts have it."""


@pytest.mark.parametrize("count", [1, 2, 8, 12, 13, 24, 25, 60, 100])
def test_nothing_of_the_strip_lies_over_anything_else_however_many_visits(count: int) -> None:
    record = a_long_record(count)
    strip = risk_strip(record, ["data:,"] * count)

    assert [tile.number for tile in strip.tiles] == list(range(1, count + 1))
    rows = [len(band.tiles) for band in strip.bands]
    assert max(rows) - min(rows) <= 1
    assert (len(strip.bands) > 1) == (count > 12)
    for band in strip.bands:
        ends: dict[str, float] = {}
        for tile in band.tiles:
            for what, middle, width in (
                ("day", tile.middle, len(tile.day) * 13 * LETTER),
                ("risk", tile.middle, len(tile.risk) * (21 if strip.side > 90 else 17) * LETTER),
                ("doubt", tile.middle, len(tile.certainty) * (11 if strip.side > 60 else 9) * LETTER),
                ("gap", tile.gap_at, len(tile.gap) * 12 * LETTER),
                ("tile", tile.middle, strip.side),
            ):
                assert middle - width / 2 >= max(ends.get(what, 0.0), 0.0), (what, tile.number)
                ends[what] = middle + width / 2
                assert ends[what] <= 1160
            assert strip.axis_left <= tile.at <= strip.axis_right
    tops = [band.top for band in strip.bands]
    assert all(below - above > strip.axis_y + 40 for above, below in itertools.pairwise(tops))
    assert strip.height >= tops[-1] + strip.axis_y + 40


def test_a_long_strip_is_drawn_in_rows_that_each_have_their_axis(pictures: ReportPictures) -> None:
    record = a_long_record(25)
    long = dataclasses.replace(pictures, visits=(pictures.visits[0],) * 25)
    page = render_report(record, long, model_card=CARD)
    strip = page[page.index('aria-labelledby="strip-title"') : page.index('id="curve"')]

    assert len(re.findall(r"<g\b", strip)) == 3
    assert strip.count("days since") == 3
    assert strip.count('class="dot"') == strip.count('class="tie"') == 25
    assert "Each row has its own axis of days, to scale." in strip
    assert "The axis of days is to scale." in render_report(a_record(3), pictures, model_card=CARD)


def test_visits_lie_on_the_strips_axis_in_proportion_to_their_days() -> None:
    record = a_record(12)
    strip = risk_strip(record, [None] * 12)
    at = np.array([tile.at for tile in strip.tiles])
    assert np.diff(at) / (at[-1] - at[0]) == pytest.approx(np.diff(DAYS) / DAYS[-1])
    lefts = np.array([tile.left for tile in strip.tiles])
    assert np.diff(lefts).min() > strip.side
    assert lefts[0] >= 0
    assert lefts[-1] + strip.side <= 1160


def test_the_curve_puts_every_risk_at_its_height_between_its_members() -> None:
    record = a_record(6)
    curve = risk_curve(record)
    ceiling = float(curve.y_ticks[-1].label.removesuffix(numbers.NARROW + "%")) / 100
    for mark, visit in zip(curve.marks, record.visits, strict=True):
        assert (curve.bottom - mark.y) / (curve.bottom - curve.top) == pytest.approx(visit.risk / ceiling)
        assert mark.high < mark.y < mark.low


@pytest.mark.parametrize(
    ("probability", "text"),
    [(0.0, "<1 %"), (0.0099, "<1 %"), (0.01, "1 %"), (0.344, "34 %"), (0.99, "99 %"), (0.9951, ">99 %"), (None, "–")],
)
def test_percent_has_no_false_precision(probability: float | None, text: str) -> None:
    assert numbers.percent(probability).replace(numbers.NARROW, " ") == text


def test_ranges_and_quantities_read_as_written() -> None:
    assert numbers.percent_range(0.284, 0.402).replace(numbers.NARROW, " ") == "28 to 40 %"
    assert numbers.percent_range(0.281, 0.284).replace(numbers.NARROW, " ") == "28 %"
    assert [numbers.significant(value) for value in (0.0, 0.01234, 1312.2, 3.96, None)] == [
        "0",
        "0.012",
        "1312",
        "4",
        "–",
    ]
    assert numbers.significant(4.3127, 3) == "4.31"
    assert numbers.place((-31.4, 12.0, -0.6)) == "L 31, A 12, I 1 mm"
