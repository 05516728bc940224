"""The viewer as a reader uses it, in a real Chromium.

Every layout is compared with the picture that was last looked at and kept. With ``KEEP_REFERENCES=1`` in the
environment they are written anew; look at each before committing it.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from TemporalGliomaRisk import numbers

SAMPLE = Path(__file__).resolve().parents[2] / "Resources" / "SampleData" / "sub-01"
REFERENCES = Path(__file__).with_name("references")
SIZE = (640, 400)
BLOCK = 16
"""Pictures are compared by the mean colours of blocks of so many pixels: a font's edge or a voxel's shade moves them
little, a view that is missing, empty, mirrored or of another visit moves many of them a lot."""
MEAN_TOLERANCE = 3.0
"""Of the difference of all blocks' colours, of 255."""
BLOCK_TOLERANCE, BLOCKS_BEYOND = 20.0, 0.006
"""At most so many of the blocks, as a part of all, may differ by more than that."""

JPEG_GREY = 3
"""How far red, green and blue of a grey pixel may lie apart after JPEG, of 255."""


def block_means(picture: Image.Image) -> np.ndarray:
    """(rows, columns, 3), mean colours of blocks."""
    pixels = np.asarray(picture.convert("RGB").resize(SIZE, Image.Resampling.BOX)).astype(float)
    columns, rows = SIZE[0] // BLOCK, SIZE[1] // BLOCK
    return pixels.reshape(rows, BLOCK, columns, BLOCK, 3).mean(axis=(1, 3))


def colourfulness(pixels) -> np.ndarray:
    """How far apart red, green and blue of each pixel lie."""
    return np.ptp(pixels, axis=2)


def risks(sample_result: Path) -> list[float]:
    return [visit["risk"] for visit in json.loads((sample_result / "risk.json").read_text())["visits"]]


def test_it_opens_at_the_visit_where_the_risk_rises_most(the_reader, sample_result) -> None:
    rises = np.diff(risks(sample_result))

    assert the_reader.page.title() == "Temporal Glioma Risk"
    assert the_reader.state("visit") == 2 + int(np.argmax(rises))


def test_that_it_is_for_research_only_stays_in_sight_in_every_layout(reader) -> None:
    for layout in ("four", "three_d", "compare", "row"):
        reader.page.click(f'.bar [data-layout="{layout}"]')
        box = reader.page.locator(".caveat").bounding_box()

        assert reader.page.locator(".caveat").inner_text() == "Research use only, trained on simulated data."
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 1280
        assert 0 <= box["y"] < 60


def test_a_click_on_another_visit_changes_the_slices(reader) -> None:
    before = {view: reader.pixels(view) for view in ("axial", "coronal", "sagittal")}

    reader.page.click('tr[data-visit="3"]')

    for view, pixels in before.items():
        reader.sees_change(view, pixels)
    assert reader.page.inner_text(".now").splitlines() == ["Visit 3 of 6", "day 227 after treatment"]
    assert reader.page.inner_text('[data-view="axial"] figcaption').strip() == "Axial"


def test_a_click_on_a_point_of_the_curve_goes_to_its_visit(reader) -> None:
    before = reader.pixels("axial")

    reader.page.click('.curve .point[data-visit="5"] .hit')

    reader.sees_change("axial", before)
    assert reader.state("visit") == 5
    assert reader.page.locator("tr.on").get_attribute("data-visit") == "5"


def test_an_uncertain_risk_is_called_so_beside_every_number_with_its_reasons(reader, sample_result: Path) -> None:
    said = json.loads((sample_result / "risk.json").read_text())["visits"]
    reasons = {number: numbers.uncertain(visit["uncertain_because"]) for number, visit in enumerate(said, start=1)}
    doubted = {number: reason for number, reason in reasons.items() if reason}
    assert "one visit so far" in doubted[1]
    assert reader.page.locator("tr.doubt").all_inner_texts() == list(doubted.values())
    assert reader.page.locator(".strip small").all_inner_texts() == ["uncertain"] * len(doubted)
    assert reader.page.locator(".curve circle.risk.doubt").count() == len(doubted)
    assert reader.page.locator(".curve text.doubt").first.text_content() == "uncertain"

    reader.page.click('tr[data-visit="1"]')
    reader.waits_for(lambda: reader.state("visit") == 1, what="visit 1")

    assert doubted[1] in reader.page.inner_text(".headline")
    assert doubted[1] in reader.page.locator(".strip button").first.get_attribute("title")
    assert doubted[1] in reader.page.locator(".curve .point").first.get_attribute("aria-label")
    for layout, view, shown in (("row", "row_1", range(1, 7)), ("compare", "first_axial", (1, 2))):
        reader.page.click(f'.bar [data-layout="{layout}"]')
        reader.page.wait_for_selector(f'[data-view="{view}"] .doubt')
        found = reader.page.locator(".views .doubt").all_inner_texts()
        assert found == [doubted[number] for number in shown if number in doubted]


def test_the_test_of_the_heatmap_stands_beside_the_map_in_every_layout(reader, sample_result: Path) -> None:
    said = json.loads((sample_result / "risk.json").read_text())["model"]["heatmap_check"]
    for layout in ("four", "three_d", "compare", "row"):
        reader.page.click(f'.bar [data-layout="{layout}"]')
        reader.waits_for(lambda layout=layout: reader.state("shown_layout") == layout)
        box = reader.page.locator(".time .check").bounding_box()

        assert reader.page.inner_text(".time .check") == said
        assert box["x"] + box["width"] <= 1280
        assert box["y"] + box["height"] <= 800


def sees_the_faint_map(reader) -> None:
    """The sample's map stays under a tenth of its scale, where a reader sees it only by asking for it."""
    reader.choose(opacity=100, threshold=1)
    reader.waits_for(lambda: colourfulness(reader.pixels("axial")).max() > 60, what="the map")


def test_without_the_map_the_slices_are_grey_and_with_it_they_are_not(reader) -> None:
    assert colourfulness(reader.pixels("axial")).max() <= JPEG_GREY  # a calm map does not glow
    sees_the_faint_map(reader)

    reader.page.click(".switch i")

    for view in ("axial", "coronal", "sagittal"):
        reader.waits_for(lambda view=view: colourfulness(reader.pixels(view)).max() <= JPEG_GREY, what=f"a grey {view}")
    assert reader.pixels("axial").max() > 150


def test_opacity_and_threshold_change_the_overlay(reader) -> None:
    sees_the_faint_map(reader)
    reader.rests("axial")
    strong = colourfulness(reader.pixels("axial"))

    reader.choose(opacity=15)
    reader.waits_for(lambda: colourfulness(reader.pixels("axial")).max() < 0.6 * strong.max(), what="a paler map")
    reader.choose(opacity=100, threshold=9)
    reader.waits_for(
        lambda: (colourfulness(reader.pixels("axial")) > 25).sum() < 0.5 * (strong > 25).sum(), what="a smaller map"
    )

    style = "scale => scale.style.background"
    scale = reader.page.locator(".legend .scale")
    reader.waits_for(lambda: scale.evaluate(style).count("26, 32, 41") == 2, what="the legend's end cut off")


def test_the_window_changes_the_greys_and_tells_intensities(reader) -> None:
    before, words = reader.pixels("axial").mean(), reader.state("window_words")

    reader.choose(window_high=50)

    reader.waits_for(lambda: reader.pixels("axial").mean() > before * 1.15, what="brighter greys")
    reader.waits_for(lambda: reader.state("window_words") != words, what="the window in words")


def test_another_sequence_is_another_picture(reader) -> None:
    before = reader.pixels("axial")

    reader.page.select_option('[name="sequence"]', "ce-gd_T1w")

    reader.sees_change("axial", before)


def test_every_map_there_is_can_be_chosen_and_has_its_own_legend(reader) -> None:
    titles = {"change": "Change since the previous visit", "change-from-first": "Change since the first visit"}
    for kind, title in {**titles, "risk": "Risk map"}.items():
        reader.page.select_option('[name="map_kind"]', kind)
        reader.waits_for(lambda title=title: reader.page.inner_text(".legend p:first-child") == title, what=title)

        assert "hazard per mL within 365 days" in reader.page.inner_text(".legend")
        assert ("−" in reader.page.inner_text(".legend .ends")) == (kind != "risk")


@pytest.mark.parametrize("layout", ["three_d", "compare", "row"])
def test_a_click_on_a_layout_arranges_its_views_and_draws_them(reader, layout: str) -> None:
    wanted = {
        "three_d": {"three_d", "axial", "coronal", "sagittal"},
        "compare": {f"{part}_{view}" for part in ("first", "second", "difference") for view in ("axial", "coronal")},
        "row": {f"row_{number}" for number in range(1, 7)},
    }[layout]

    reader.page.click(f'.bar [data-layout="{layout}"]')
    reader.waits_for(lambda: reader.state("shown_layout") == layout)

    shown = reader.page.eval_on_selector_all(".view", "views => views.map(view => view.dataset.view)")
    assert set(shown) == wanted
    for view in wanted:
        reader.page.wait_for_selector(f'[data-view="{view}"] img[src]')
        assert reader.rests(view).max() > 100


def test_the_page_never_takes_the_views_of_one_layout_for_another_s(reader) -> None:
    reader.page.evaluate(
        """() => {
            const { state } = window.trame;
            window.told = [];
            window.untold = state.addListener(({ keys }) => {
                if (keys.includes("shown_layout") || keys.includes("grid"))
                    window.told.push([state.get("shown_layout"), state.get("grid").tiles[0].name]);
            });
        }"""
    )
    try:
        for layout in ("compare", "row", "four"):
            reader.page.click(f'.bar [data-layout="{layout}"]')
            reader.waits_for(lambda layout=layout: reader.state("shown_layout") == layout)
    finally:
        reader.page.evaluate("window.untold()")

    told = {tuple(pair) for pair in reader.page.evaluate("window.told")}
    assert told == {("compare", "first_axial"), ("row", "row_1"), ("four", "axial")}


@pytest.mark.parametrize("layout", ["four", "three_d", "compare", "row"])
def test_a_layout_looks_as_its_reference(reader, tmp_path: Path, layout: str) -> None:
    if layout != "four":
        reader.page.click(f'.bar [data-layout="{layout}"]')
        reader.waits_for(lambda: reader.state("shown_layout") == layout)
        reader.page.mouse.move(5, 5)
    for view in reader.page.eval_on_selector_all(".view", "views => views.map(view => view.dataset.view)"):
        reader.page.wait_for_selector(f'[data-view="{view}"] img[src]')
        reader.rests(view)
    reader.page.screenshot(path=tmp_path / "seen.png")
    seen = Image.open(tmp_path / "seen.png")
    path = REFERENCES / f"{layout}.webp"
    if os.environ.get("KEEP_REFERENCES"):
        REFERENCES.mkdir(exist_ok=True)
        seen.convert("RGB").resize(SIZE, Image.Resampling.LANCZOS).save(path, quality=82, method=6)

    difference = np.abs(block_means(seen) - block_means(Image.open(path))).max(axis=2)

    assert difference.mean() <= MEAN_TOLERANCE
    assert (difference > BLOCK_TOLERANCE).mean() <= BLOCKS_BEYOND


def test_the_comparison_notices_a_mirrored_view_and_an_empty_one() -> None:
    picture = Image.open(REFERENCES / "four.webp").convert("RGB")
    axial = (160, 55, 398, 208)
    mirrored, emptied = picture.copy(), picture.copy()
    mirrored.paste(picture.crop(axial).transpose(Image.Transpose.FLIP_LEFT_RIGHT), axial)
    emptied.paste((0, 0, 0), axial)

    for changed in (mirrored, emptied):
        difference = np.abs(block_means(changed) - block_means(picture)).max(axis=2)
        assert (difference > BLOCK_TOLERANCE).mean() > BLOCKS_BEYOND


def test_two_visits_side_by_side_move_together(reader) -> None:
    reader.page.click('.bar [data-layout="compare"]')
    reader.page.wait_for_selector('[data-view="difference_axial"] img[src]')
    before = {part: reader.rests(f"{part}_axial") for part in ("first", "second", "difference")}

    reader.page.hover('[data-view="first_axial"]')
    reader.page.mouse.wheel(0, -600)

    for part, pixels in before.items():
        reader.sees_change(f"{part}_axial", pixels)
    reader.waits_for(
        lambda: len({reader.state("slices")[f"{part}_axial"]["place"] for part in before}) == 1, what="one place"
    )


def test_the_visit_compared_with_can_be_chosen(reader) -> None:
    reader.page.click('.bar [data-layout="compare"]')
    reader.page.wait_for_selector('[data-view="first_axial"] img[src]')

    reader.page.select_option('[name="compare_with"]', "5")
    reader.waits_for(lambda: "visit 5" in reader.page.inner_text('[data-view="second_axial"] figcaption'))

    assert "visit 2" in reader.page.inner_text('[data-view="first_axial"] figcaption')
    assert "visit 5 less visit 2" in reader.page.inner_text('[data-view="difference_axial"] figcaption')


def test_compared_visits_have_the_legend_of_the_map_they_show_and_the_difference_that_of_its_own_scale(
    reader, sample_result: Path
) -> None:
    reader.choose(layout="compare", compare_with=5)
    reader.waits_for(lambda: reader.state("shown_layout") == "compare")
    for kind, title in (("change", "Change since the previous visit"), ("risk", "Risk map")):
        reader.page.select_option('[name="map_kind"]', kind)
        reader.waits_for(lambda title=title: reader.state("legends")[0]["title"] == title, what=title)
        assert [one["title"] for one in reader.state("legends")] == [title, "Difference"]

    told = reader.state("legends")[1]["labels"]
    reader.choose(layout="four", map_kind="change-from-first")
    reader.waits_for(lambda: reader.state("legends")[0]["title"] == "Change since the first visit")
    assert reader.state("legends")[0]["labels"] == told


def test_the_keyboard_steps_through_visits_and_slices_and_hides_the_map(reader) -> None:
    press = reader.page.keyboard.press

    press("ArrowRight")
    reader.waits_for(lambda: reader.state("visit") == 3, what="visit 3")
    press("ArrowLeft")
    press("ArrowLeft")
    reader.waits_for(lambda: reader.state("visit") == 1, what="visit 1")
    press("h")
    reader.waits_for(lambda: reader.state("map_on") is False, what="no map")
    reader.page.hover('[data-view="coronal"]')
    before = reader.state("slices")["coronal"]["value"]
    press("ArrowUp")
    reader.waits_for(lambda: reader.state("slices")["coronal"]["value"] > before, what="the slice in front")
    press("ArrowDown")
    reader.waits_for(lambda: reader.state("slices")["coronal"]["value"] == pytest.approx(before, abs=0.05))


def test_the_keyboard_moves_the_slider_that_has_the_focus_and_the_visits_slider_as_everywhere(reader) -> None:
    press, focus = reader.page.keyboard.press, lambda name: reader.page.locator(f"input[name={name}]").focus()

    for name, key, moved in (("opacity", "ArrowLeft", 59), ("threshold", "ArrowUp", 11), ("window_high", "Home", 10)):
        focus(name)
        press(key)
        reader.waits_for(lambda name=name, moved=moved: reader.state(name) == moved, what=name)
    assert reader.state("visit") == 2
    focus("visit")
    press("ArrowRight")
    reader.waits_for(lambda: reader.state("visit") == 3, what="visit 3")


def test_3d_waits_until_the_threshold_is_let_go_and_slices_do_not(reader) -> None:
    box = reader.page.locator("input[name=threshold]").bounding_box()
    start = (box["x"] + 0.3 * box["width"], box["y"] + box["height"] / 2)
    gradient = reader.state("legends")[0]["gradient"]

    reader.page.mouse.move(*start)
    reader.page.mouse.down()
    reader.page.mouse.move(start[0] + 30, start[1], steps=4)
    reader.waits_for(lambda: reader.state("legends")[0]["gradient"] != gradient, what="the legend's threshold")
    assert reader.state("steering")

    reader.page.mouse.up()
    reader.waits_for(lambda: not reader.state("steering"), what="the slider let go")
    assert reader.state("threshold") > 20


def test_visits_and_peaks_can_be_chosen_by_the_keyboard(reader, sample_result: Path, tmp_path: Path) -> None:
    result = shutil.copytree(sample_result, tmp_path / "result")
    told = json.loads((result / "risk.json").read_text())
    told["visits"][3]["peaks"] = [
        {"name": "A", "ras_mm": [10.0, 0.0, 40.0], "share_of_hazard": 0.3, "hazard_per_mL": 0.01}
    ]
    (result / "risk.json").write_text(json.dumps(told))
    for shown, peaks in ((result, 1), (sample_result, 0)):
        reader.page.evaluate("paths => window.trame.trigger('open', paths)", [str(shown), str(SAMPLE)])
        reader.waits_for(lambda peaks=peaks: len(reader.state("visits")[3]["peaks"]) == peaks, what="it")
        reader.choose(visit=2)
        reader.page.locator('tr[data-visit="4"] button').focus()
        reader.page.keyboard.press("Enter")
        reader.waits_for(lambda: reader.state("visit") == 4, what="visit 4")
        if peaks:
            reader.page.locator(".peak button").focus()
            reader.page.keyboard.press("Enter")
            reader.waits_for(lambda: reader.state("slices")["axial"]["place"] == "S 40\u202fmm", what="the peak")


def test_zoom_stays_at_another_visit_and_is_fitted_anew_in_a_view_that_was_away(reader) -> None:
    fitted = reader.rests("axial")
    box = reader.page.locator('[data-view="axial"] .picture').bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    reader.page.mouse.move(*middle)
    reader.page.mouse.down(button="right")
    for step in range(12):
        reader.page.mouse.move(middle[0], middle[1] + 8 * step)
    reader.page.mouse.up(button="right")
    reader.page.mouse.move(5, 5)
    reader.sees_change("axial", fitted)
    zoomed = reader.rests("axial")

    for visit in (3, 2):
        before = reader.pixels("axial")
        reader.choose(visit=visit)
        reader.sees_change("axial", before)
    reader.waits_for(lambda: np.abs(reader.rests("axial") - zoomed).mean() < 1, what="visit 2 as it was zoomed")

    for layout in ("row", "four"):
        reader.choose(layout=layout)
        reader.waits_for(lambda layout=layout: reader.state("shown_layout") == layout)
    reader.waits_for(lambda: np.abs(reader.rests("axial") - fitted).mean() < 1, what="the whole head")


def test_everything_of_the_page_is_in_reach_on_a_narrow_screen_and_nothing_lies_over_anything(reader) -> None:
    reader.page.set_viewport_size({"width": 1024, "height": 768})
    try:
        reader.page.wait_for_timeout(500)
        boxes = {
            where: [one.bounding_box() for one in reader.page.locator(where).all()]
            for where in (".bar > *", ".actions > *", ".tools > :not(.divider)")
        }
    finally:
        reader.page.set_viewport_size({"width": 1280, "height": 800})
        reader.page.wait_for_timeout(500)
        reader.rests("axial")

    for where, found in boxes.items():
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= 1024 for box in found), where
        for one, other in itertools.combinations(found, 2):
            across = min(one["x"] + one["width"], other["x"] + other["width"]) - max(one["x"], other["x"])
            down = min(one["y"] + one["height"], other["y"] + other["height"]) - max(one["y"], other["y"])
            assert min(across, down) <= 0, where


def test_nothing_in_the_panel_is_wider_than_its_part_of_it(reader) -> None:
    wider = """() => [...document.querySelectorAll('.panel > *')].flatMap(part => {
        const right = part.getBoundingClientRect().right + 0.5
        return [...part.querySelectorAll('*')].filter(one => one.getBoundingClientRect().right > right)
            .map(one => one.outerHTML.slice(0, 80))
    })"""
    assert reader.page.evaluate(wider) == []


def test_the_keyboard_writes_where_one_writes(reader) -> None:
    reader.choose(dialog="open")
    reader.page.click('[name="open_path"]')

    reader.page.keyboard.type("/h/h")
    reader.page.keyboard.press("ArrowRight")

    assert reader.page.input_value('[name="open_path"]') == "/h/h"
    assert (reader.state("map_on"), reader.state("visit")) == (True, 2)


def test_a_slice_slider_and_the_wheel_move_one_slice(reader) -> None:
    before, other = reader.pixels("axial"), reader.state("slices")["coronal"]["value"]

    reader.page.hover('[data-view="axial"]')
    reader.page.mouse.wheel(0, 400)
    reader.sees_change("axial", before)

    assert reader.state("slices")["coronal"]["value"] == other


def test_go_to_peak_brings_the_slices_back(reader) -> None:
    at_peak = {view: known["place"] for view, known in reader.state("slices").items() if view in ("axial", "coronal")}
    reader.page.hover('[data-view="axial"]')
    reader.page.mouse.wheel(0, 400)
    reader.waits_for(lambda: reader.state("slices")["axial"]["place"] != at_peak["axial"])

    reader.page.click(".peak-button")

    reader.waits_for(lambda: reader.state("slices")["axial"]["place"] == at_peak["axial"], what="the peak")


def test_play_steps_through_the_visits(reader) -> None:
    reader.page.click(".play")

    reader.waits_for(lambda: reader.state("visit") == 4, what="visit 4")
    reader.page.click(".play")
    reader.waits_for(lambda: reader.state("playing") is False)


def test_the_3d_view_turns_with_the_mouse_and_settles(reader) -> None:
    before = reader.rests("three_d")
    box = reader.page.locator('[data-view="three_d"]').bounding_box()

    reader.page.mouse.move(box["x"] + 150, box["y"] + 150)
    reader.page.mouse.down()
    for step in range(8):
        reader.page.mouse.move(box["x"] + 150 + 12 * step, box["y"] + 150)
    reader.page.mouse.up()

    reader.waits_for(lambda: np.abs(reader.rests("three_d") - before).mean() > 1, what="another side of the head")


def test_report_and_scene_can_be_had(reader, tmp_path: Path) -> None:
    report = reader.page.request.get(reader.page.url.split("?")[0] + "report.html")
    with reader.page.expect_download() as download:
        reader.page.click('a[href="scene.mrb"]')
    download.value.save_as(tmp_path / "scene.mrb")

    assert report.status == 200
    assert "Research use only" in report.text()
    assert (tmp_path / "scene.mrb").read_bytes()[:2] == b"PK"


def test_a_folder_without_images_is_an_error_in_one_sentence_without_its_path(reader, tmp_path: Path) -> None:
    reader.page.click("text=Open…")
    reader.page.fill('[name="open_path"]', str(tmp_path))
    reader.page.click('.dialog button[type="submit"]')

    reader.page.wait_for_selector(".dialog .message.error")
    sentence = reader.page.inner_text(".dialog .message.error span")
    assert "no image" in sentence
    assert str(tmp_path) not in sentence
    reader.page.click(".dialog >> text=Close")
    reader.page.click(".messages .message.error button")
    reader.page.wait_for_selector(".message.error", state="detached")
    assert reader.state("patient")["label"] == "sub-01"


def test_the_dialog_is_used_by_keyboard_alone_and_leads_back_to_where_it_was_opened(reader) -> None:
    press = reader.page.keyboard.press
    focused = "() => document.activeElement.name || document.activeElement.innerText.trim()"
    reader.page.locator("text=Open…").first.focus()
    press("Enter")
    reader.page.wait_for_function("() => document.activeElement.name === 'open_path'")
    reader.page.keyboard.type("/nowhere")

    seen = []
    for _ in range(5):
        press("Tab")
        seen.append(reader.page.evaluate(focused))
    assert seen == ["open_timeline", "open_patient", "upload", "Close", "Open"]
    press("Tab")
    assert not reader.page.evaluate("() => document.activeElement.closest('.page > [inert]') !== null")

    press("Escape")
    reader.page.wait_for_selector(".dialog", state="detached")
    reader.waits_for(lambda: reader.page.evaluate(focused) == "Open…", what="the button again")


def test_one_patient_of_a_dataset_is_opened_by_its_label(reader) -> None:
    page = reader.page
    page.click("text=Open…")
    page.fill('[name="open_path"]', str(SAMPLE.parent))
    page.click('.dialog button[type="submit"]')
    page.wait_for_selector(".dialog .message.error")
    sentence = page.inner_text(".dialog .message.error span")
    assert "holds 3 patients" in sentence
    assert "under “Patient”" in sentence
    assert "--" not in sentence

    page.fill('[name="open_patient"]', "sub-03")
    page.click('.dialog button[type="submit"]')
    reader.waits_for(lambda: reader.state("patient")["label"] == "sub-03", what="the third patient")
    reader.waits_for(lambda: reader.state("dialog") == "", what="the dialog closed")
    reader.choose(open_patient="")


def two_visits(folder: Path) -> Path:
    """The first two visits of the sample patient, as a timeline of their own."""
    patient = folder / "sub-01"
    for session in ("ses-01", "ses-02"):
        shutil.copytree(SAMPLE / session, patient / session)
    lines = (SAMPLE / "sub-01_sessions.tsv").read_text().splitlines()[:3]
    (patient / "sub-01_sessions.tsv").write_text("\n".join(lines) + "\n")
    return patient


def test_a_folder_is_uploaded_and_opened(reader, tmp_path: Path) -> None:
    reader.page.click("text=Open…")

    reader.page.set_input_files('[name="upload"]', two_visits(tmp_path))

    reader.waits_for(lambda: len(reader.state("visits")) == 2, what="two visits")
    reader.waits_for(lambda: reader.state("dialog") == "", what="the dialog closed")
    reader.waits_for(lambda: reader.state("upload") == {"words": ""}, what="nothing more of the upload")
    assert reader.rests("axial").max() > 100
    scene = reader.page.request.get(reader.page.url.split("?")[0] + "scene.mrb")
    with zipfile.ZipFile(io.BytesIO(scene.body())) as archive:
        mrml = "".join(archive.read(name).decode() for name in archive.namelist() if name.endswith(".mrml"))
    assert 'name="sub-01 visits"' in mrml
    assert "sub-01 (" not in mrml  # whoever was open before is gone, and gives no cause for a number


def test_a_timeline_is_opened_predicted_cancelled_and_predicted_while_the_page_stays_alive(
    reader, sample_result: Path, tmp_path: Path
) -> None:
    reader.page.click("text=Open…")
    reader.page.fill('[name="open_path"]', str(two_visits(tmp_path)))
    reader.page.click('.dialog button[type="submit"]')
    reader.waits_for(lambda: len(reader.state("visits")) == 2, what="two visits")
    assert "No risk has been computed" in reader.page.inner_text(".panel")

    reader.page.click("text=Run prediction")
    reader.waits_for(lambda: reader.state("run")["percent"] > 3, what="progress", seconds=60)
    before = reader.pixels("axial")
    reader.page.click('tr[data-visit="1"]')
    reader.sees_change("axial", before)
    assert reader.state("run")["active"]
    reader.page.click(".progress .cancel")
    reader.waits_for(lambda: not reader.state("run")["active"], what="the end")
    assert (reader.state("has_risk"), reader.state("error")) == (False, "")

    reader.page.click("text=Run prediction")
    reader.waits_for(lambda: reader.state("has_risk"), what="risks", seconds=90)
    assert reader.state("error") == ""
    assert [row["risk"] for row in reader.state("visits")] == [
        f"{round(100 * r)}\u202f%" for r in risks(sample_result)[:2]
    ]
    assert reader.page.locator(".curve .point").count() == 2

    reader.page.evaluate("paths => window.trame.trigger('open', paths)", [str(sample_result)])
    reader.page.wait_for_selector(".message.error")
    assert "--timeline" in reader.page.inner_text(".message.error")


def test_a_computer_without_opengl_shows_slices_of_a_result_s_own_scene_and_says_that_there_is_no_3d(
    reader, sample_result: Path, tmp_path: Path, start_viewer, stop_viewer
) -> None:
    result = shutil.copytree(sample_result, tmp_path / "result")
    scene = reader.page.request.get(reader.page.url.split("?")[0] + "scene.mrb")
    (result / "scene.mrb").write_bytes(scene.body())
    # There is no X server, and VTK is told to use nothing else.
    environment = {"VTK_DEFAULT_OPENGL_WINDOW": "vtkXOpenGLRenderWindow"}
    command = [sys.executable, "-m", "TemporalGliomaRisk", "view", str(result), "--visit", "99"]
    refused = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "has 6 visits, and visit 99 was asked for" in refused.stderr
    viewer = start_viewer(str(result), "--visit", "4", folder=tmp_path, environment=environment)
    reader = reader.at(viewer.address)

    assert "no 3D" in reader.page.inner_text(".message.notice")
    assert reader.page.is_disabled('.bar [data-layout="three_d"]')
    assert reader.page.inner_text(".now b") == "Visit 4"
    sees_the_faint_map(reader)
    before = reader.rests("axial")
    reader.page.hover('[data-view="axial"]')
    reader.page.mouse.wheel(0, 400)
    reader.sees_change("axial", before)
    reader.page.keyboard.press("h")
    reader.waits_for(lambda: colourfulness(reader.pixels("axial")).max() <= JPEG_GREY, what="a grey slice")
    assert "no 3D" in (tmp_path / "viewer.err").read_text()

    assert stop_viewer(viewer) == 130
    reader.page.wait_for_selector("text=The viewer has ended")
    reader.page.close()


def test_no_request_left_this_computer_and_nothing_was_complained_of(the_reader) -> None:
    elsewhere = [
        url for url in the_reader.asked if not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "blob:"))
    ]

    assert len(the_reader.asked) > 8
    assert elsewhere == []
    assert the_reader.complaints == []
