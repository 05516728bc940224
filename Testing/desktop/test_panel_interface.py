"""Every .ui file, read without Qt: classes, scene connections, parameter names, and what the code asks of it."""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PANELS = sorted((REPOSITORY / "Resources" / "UI").glob("*.ui"))
CODE = sorted((REPOSITORY / "scripted_modules").rglob("*.py"))
SLICER_CLASSES = {
    *("qMRMLWidget", "qMRMLNodeComboBox", "qMRMLSliderWidget", "qMRMLPlotWidget"),
    *("ctkCollapsibleButton", "ctkCollapsibleGroupBox", "ctkSliderWidget", "ctkPathLineEdit", "ctkDirectoryButton"),
}
"""Classes with a designer plugin that Slicer ships, so that QUiLoader can make them."""
QT_CLASSES = {
    *("QWidget", "QLabel", "QPushButton", "QToolButton", "QComboBox", "QTableWidget", "QListWidget"),
    *("QProgressBar", "QStackedWidget"),
}
SIGNALS = {
    "QPushButton": {"clicked()", "toggled(bool)"},
    "QToolButton": {"clicked()"},
    "QComboBox": {"currentIndexChanged(int)"},
    "QTableWidget": {"cellChanged(int,int)", "cellClicked(int,int)", "itemSelectionChanged()"},
    "QListWidget": {"clicked(QModelIndex)"},
    "ctkCollapsibleButton": {"contentsCollapsed(bool)"},
    "ctkSliderWidget": {"valueChanged(double)"},
    "ctkPathLineEdit": {"currentPathChanged(QString)"},
    "qMRMLNodeComboBox": {"currentNodeChanged(vtkMRMLNode*)"},
}
"""Signals of theirs that this module uses, as their headers spell them."""
ACTING = ("QPushButton", "QToolButton", "QComboBox", "QTableWidget", "QListWidget", *list(SIGNALS)[6:])


@pytest.fixture(params=PANELS, ids=lambda path: path.name)
def root(request: pytest.FixtureRequest) -> ET.Element:
    return ET.parse(request.param).getroot()


def widgets(root: ET.Element) -> dict[str, str]:
    """Class of every widget, by its name."""
    return {widget.get("name", ""): widget.get("class", "") for widget in root.iter("widget")}


def properties(widget: ET.Element) -> dict[str, str]:
    """A widget's properties that are texts."""
    return {one.get("name", ""): "".join(one.itertext()).strip() for one in widget.findall("property")}


def test_there_is_a_panel_to_read() -> None:
    assert [path.name for path in PANELS] == ["GliomaRisk.ui"]


def test_every_class_is_one_that_slicer_can_make_and_every_name_is_used_once(root: ET.Element) -> None:
    names = [widget.get("name") for widget in root.iter("widget")]
    declared = {custom.findtext("class") for custom in root.iter("customwidget")}
    used = set(widgets(root).values())

    assert used - QT_CLASSES - SLICER_CLASSES == set()
    assert used - QT_CLASSES == declared
    assert len(names) == len(set(names))


def test_every_mrml_widget_is_given_the_scene(root: ET.Element) -> None:
    top = root.find("widget").get("name")
    connected = {
        one.findtext("receiver")
        for one in root.iter("connection")
        if one.findtext("sender") == top
        and one.findtext("signal") == "mrmlSceneChanged(vtkMRMLScene*)"
        and one.findtext("slot") == "setMRMLScene(vtkMRMLScene*)"
    }

    mrml = {name for name, class_name in widgets(root).items() if class_name.startswith("qMRML") and name != top}
    assert mrml == connected != set()


def test_every_parameter_name_is_one_of_the_wrapper_s_and_of_a_type_its_widget_can_show(
    root: ET.Element, helper: Callable[[str], Any]
) -> None:
    parameters = helper("parameters")
    types = parameters.GliomaRiskParameters._types
    bound = {properties(widget).get("SlicerParameterName"): widget for widget in root.iter("widget")}
    bound.pop(None)

    assert set(bound) == {"source", "day_choice", "registration", "layout"}
    for name, widget in bound.items():
        assert widget.get("class") == "QComboBox"
        assert all(choice.label() for choice in types[name])


def test_every_widget_that_does_something_says_what(root: ET.Element) -> None:
    silent = [
        widget.get("name")
        for widget in root.iter("widget")
        if widget.get("class") in ACTING
        and widget.get("class") != "ctkCollapsibleButton"
        and not properties(widget).get("toolTip")
    ]

    assert silent == []


def test_texts_have_no_colon_missing_and_no_untidy_blank(root: ET.Element) -> None:
    texts = [text for widget in root.iter("widget") for text in [properties(widget).get("toolTip", "")] if text]

    assert [text for text in texts if not text.endswith((".", "?")) or "  " in text] == []


def asked_of_ui() -> set[str]:
    """Names that the module's code asks of ``ui``, written as ``ui.x`` or handed to getattr."""
    asked: set[str] = set()
    for path in CODE:
        text = path.read_text(encoding="utf-8")
        asked |= set(re.findall(r"\bui\.(\w+)", text))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.For) and "getattr(self.ui" in ast.unparse(node):
                asked |= {str(one.value) for one in ast.walk(node.iter) if isinstance(one, ast.Constant)} & {
                    one for one in re.findall(r"\w+", ast.unparse(node.iter)) if one[0].islower()
                }
    return asked


def test_everything_the_code_asks_of_the_panel_is_there() -> None:
    there = set().union(*[widgets(ET.parse(path).getroot()) for path in PANELS])

    assert asked_of_ui() - there == set()


def test_signals_are_spelt_as_their_classes_spell_them() -> None:
    there = {name: kind for path in PANELS for name, kind in widgets(ET.parse(path).getroot()).items()}
    wrong = []
    for path in CODE:
        for name, signal in re.findall(r'\bui\.(\w+)\.connect\(\s*"([^"]+)"', path.read_text(encoding="utf-8")):
            if signal not in SIGNALS[there[name]]:
                wrong.append(f"{path.name}: {name} has no {signal}")

    assert wrong == []


def test_no_sentence_is_said_that_cannot_be_translated() -> None:
    said = []
    for path in CODE:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        passed = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("_", "logging.error", "test.skipTest"):
                passed |= {id(part) for part in ast.walk(node)}
        said += [
            f"{path.name}:{node.lineno} {node.value}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in passed
            if re.search(r"\w \w.*[.?)]$", node.value) and not node.value.startswith("Choose with --")
        ]

    assert said == []


def test_every_text_a_reader_sees_can_be_translated_with_named_places_only() -> None:
    positional = []
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "_":
                (text,) = node.args
                assert isinstance(text, ast.Constant), f"{path.name}:{node.lineno} translates no literal text"
                positional += [f"{path.name}: {text.value}" for _ in re.findall(r"\{\d*\}|%[sd]", text.value)]

    assert positional == []
