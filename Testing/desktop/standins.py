"""Stand-ins for what a desktop Slicer has and its wheels have not: Qt through PySide6, and a few names of `slicer`.

They have PythonQt's manners as far as this module uses them: Qt properties are attributes, ``connect("signal(args)")``
connects by name, and a lambda may take fewer arguments than the signal has. They show that the panel's code runs and
what it looks like; they are no proof of how Slicer's own widgets behave.
"""

# ruff: noqa: N815, PLW0108  (Qt's names and its way of declaring a property)

from __future__ import annotations

import inspect
import os
import sys
import types
import typing
import weakref
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import slicer
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

_QObject = QtCore.QObject
_KEPT: list[Any] = []
"""Widgets that a .ui file made: PySide forgets the Python side of what nobody holds."""


def _fitting(call: Callable[..., Any]) -> Callable[..., Any]:
    """Drop the arguments of a signal that a slot does not take, as PythonQt does."""
    try:
        parameters = inspect.signature(call).parameters.values()
    except (TypeError, ValueError):
        return call
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return call
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    count = sum(one.default is one.empty for one in positional)

    def slot(*arguments: Any) -> Any:
        return call(*arguments[:count])

    return slot


VIRTUAL = ("sizeHint", "minimumSizeHint")
"""Properties that Qt itself asks of Python, which must not ask Qt again; methods here, as nobody uses them."""


class PythonQtManners:
    """Qt properties as attributes, ``objectName`` among them, and connecting by a signal's text."""

    def __getattribute__(self, name: str) -> Any:
        if name == "connect":
            return lambda signal, call: _connect(self, signal, call)
        if not name.startswith("_") and name not in VIRTUAL:
            meta = _QObject.metaObject(self)
            if meta.indexOfProperty(name) >= 0:
                return _QObject.property(self, name)
        return super().__getattribute__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and _QObject.metaObject(self).indexOfProperty(name) >= 0:
            _QObject.setProperty(self, name, value)
        else:
            super().__setattr__(name, value)


def _connect(sender: Any, signal: str, call: Callable[..., Any]) -> None:
    object.__getattribute__(sender, signal.split("(", maxsplit=1)[0]).connect(_fitting(call))


PLAIN = (
    *("QWidget", "QLabel", "QPushButton", "QToolButton", "QComboBox", "QTableWidget", "QListWidget", "QProgressBar"),
    *("QStackedWidget", "QLineEdit", "QTextBrowser", "QMenu", "QCheckBox", "QGroupBox"),
)
QT_WIDGETS = {name: type(name, (PythonQtManners, getattr(QtWidgets, name)), {}) for name in PLAIN}


class Timer(PythonQtManners, QtCore.QTimer):
    """qt.QTimer."""


class Shortcut(PythonQtManners, QtGui.QShortcut):
    """qt.QShortcut."""


class Action(PythonQtManners, QtGui.QAction):
    """qt.QAction."""


class Menu(PythonQtManners, QtWidgets.QMenu):
    """qt.QMenu: what it adds has PythonQt's manners, too."""

    def addAction(self, text: str) -> Any:
        action = Action(text, self)
        QtWidgets.QMenu.addAction(self, action)
        return action


QT_WIDGETS["QMenu"] = Menu


class ProgressBar(PythonQtManners, QtWidgets.QProgressBar):
    """qt.QProgressBar, whose text Qt asks of Python, which must not ask Qt again."""

    def __getattribute__(self, name: str) -> Any:
        if name == "text":
            return QtWidgets.QProgressBar.__getattribute__(self, name)
        return PythonQtManners.__getattribute__(self, name)


QT_WIDGETS["QProgressBar"] = ProgressBar


class CollapsibleButton(PythonQtManners, QtWidgets.QWidget):
    """ctk.ctkCollapsibleButton."""

    contentsCollapsed = QtCore.Signal(bool)
    HEAD_PX = 26

    def __init__(self, *arguments: Any) -> None:
        self._text, self._collapsed, self._hiding = "", False, False
        super().__init__(*arguments)
        self.setContentsMargins(2, self.HEAD_PX, 2, 2)

    def _get_collapsed(self) -> bool:
        return self._collapsed

    def _set_collapsed(self, value: bool) -> None:
        if value == self._collapsed:
            return
        self._collapsed = bool(value)
        self._show_contents()
        self.contentsCollapsed.emit(self._collapsed)

    def _show_contents(self) -> None:
        for child in _QObject.children(self):
            if isinstance(child, QtWidgets.QWidget):
                if self._collapsed and not self._hiding:
                    _QObject.setProperty(child, "wasShown", not child.isHidden())
                if self._collapsed:
                    child.hide()
                elif _QObject.property(child, "wasShown") is not False:
                    child.show()
        self._hiding = self._collapsed
        self.setMaximumHeight(self.HEAD_PX if self._collapsed else 16777215)

    text = QtCore.Property(str, lambda self: self._text, lambda self, value: setattr(self, "_text", value))
    collapsed = QtCore.Property(bool, _get_collapsed, _set_collapsed)

    def showEvent(self, event: Any) -> None:
        self._show_contents()
        QtWidgets.QWidget.showEvent(self, event)

    def paintEvent(self, event: Any) -> None:
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, QtWidgets.QWidget.width(self), self.HEAD_PX - 2)
        painter.drawControl(QtWidgets.QStyle.CE_PushButtonBevel, option)
        painter.drawText(option.rect.adjusted(24, 0, 0, 0), QtCore.Qt.AlignVCenter, self._text)
        painter.drawText(8, 17, "▸" if self._collapsed else "▾")


class CollapsibleGroupBox(PythonQtManners, QtWidgets.QGroupBox):
    """ctk.ctkCollapsibleGroupBox."""

    def _set_collapsed(self, value: bool) -> None:
        self._is_collapsed = bool(value)
        for child in _QObject.children(self):
            if isinstance(child, QtWidgets.QWidget):
                child.setVisible(not value)
        self.setMaximumHeight(22 if value else 16777215)

    collapsed = QtCore.Property(bool, lambda self: getattr(self, "_is_collapsed", False), _set_collapsed)

    def showEvent(self, event: Any) -> None:
        self._set_collapsed(getattr(self, "_is_collapsed", False))
        QtWidgets.QGroupBox.showEvent(self, event)


class SliderWidget(PythonQtManners, QtWidgets.QWidget):
    """ctk.ctkSliderWidget."""

    valueChanged = QtCore.Signal(float)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._slider, self._box = QtWidgets.QSlider(QtCore.Qt.Horizontal), QtWidgets.QDoubleSpinBox()
        layout.addWidget(self._slider)
        layout.addWidget(self._box)
        self._slider.setRange(0, 1000)
        self._box.valueChanged.connect(self._on_value)
        self._slider.sliderMoved.connect(lambda step: self._box.setValue(self._box.maximum() * step / 1000))

    def _on_value(self, value: float) -> None:
        self._slider.setValue(round(1000 * value / (self._box.maximum() or 1)))
        self.valueChanged.emit(value)

    value = QtCore.Property(float, lambda self: self._box.value(), lambda self, value: self._box.setValue(value))
    minimum = QtCore.Property(float, lambda self: self._box.minimum(), lambda self, v: self._box.setMinimum(v))
    maximum = QtCore.Property(float, lambda self: self._box.maximum(), lambda self, v: self._box.setMaximum(v))
    singleStep = QtCore.Property(float, lambda self: self._box.singleStep(), lambda self, v: self._box.setSingleStep(v))
    pageStep = QtCore.Property(float, lambda self: 10.0, lambda self, v: None)
    decimals = QtCore.Property(int, lambda self: self._box.decimals(), lambda self, v: self._box.setDecimals(v))
    suffix = QtCore.Property(str, lambda self: self._box.suffix(), lambda self, v: self._box.setSuffix(v))


class PathLineEdit(PythonQtManners, QtWidgets.QLineEdit):
    """ctk.ctkPathLineEdit."""

    currentPathChanged = QtCore.Signal(str)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.textChanged.connect(self.currentPathChanged.emit)

    currentPath = QtCore.Property(
        str, lambda self: QtWidgets.QLineEdit.text(self), lambda self, value: QtWidgets.QLineEdit.setText(self, value)
    )


class MrmlWidget(PythonQtManners, QtWidgets.QWidget):
    """slicer.qMRMLWidget."""

    mrmlSceneChanged = QtCore.Signal(object)

    def setMRMLScene(self, scene: Any) -> None:
        self.mrmlSceneChanged.emit(scene)
        for child in _QObject.findChildren(self, QtWidgets.QWidget):
            if hasattr(type(child), "setMRMLScene"):
                child.setMRMLScene(scene)


class NodeComboBox(PythonQtManners, QtWidgets.QComboBox):
    """slicer.qMRMLNodeComboBox, as far as choosing a browser with an attribute needs."""

    currentNodeChanged = QtCore.Signal(object)

    def __init__(self, *arguments: Any) -> None:
        self._scene, self._types, self._ids, self._attributes, self._tags = None, [], [], [], []
        super().__init__(*arguments)
        self.currentIndexChanged.connect(lambda index: self.currentNodeChanged.emit(self.currentNode()))

    nodeTypes = QtCore.Property("QStringList", lambda self: self._types, lambda self, v: setattr(self, "_types", v))

    def addAttribute(self, node_type: str, name: str, value: Any = None) -> None:
        self._attributes.append((node_type, name))

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self._fill()

    def _fill(self) -> None:
        blocked = self.blockSignals(True)
        QtWidgets.QComboBox.clear(self)
        QtWidgets.QComboBox.addItem(self, "None")
        self._ids = [""]
        for node_type in self._types:
            for node in slicer.util.getNodesByClass(node_type, self._scene):
                if all(node.GetAttribute(name) is not None for _type, name in self._attributes):
                    QtWidgets.QComboBox.addItem(self, node.GetName())
                    self._ids.append(node.GetID())
        self.blockSignals(blocked)

    def currentNode(self) -> Any:
        index = QtWidgets.QComboBox.currentIndex(self)
        found = self._ids[index] if 0 <= index < len(self._ids) else ""
        return self._scene.GetNodeByID(found) if found and self._scene is not None else None

    def setCurrentNode(self, node: Any) -> None:
        self._fill()
        index = self._ids.index(node.GetID()) if node is not None and node.GetID() in self._ids else 0
        QtWidgets.QComboBox.setCurrentIndex(self, index)


class BrowserWidget(PythonQtManners, QtWidgets.QWidget):
    """slicer.qMRMLSequenceBrowserSeekWidget: a slider that moves nothing."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._layout = QtWidgets.QHBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._fill()
        self._browser = None

    def _fill(self) -> None:
        self._layout.addWidget(QtWidgets.QSlider(QtCore.Qt.Horizontal))

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene

    def setMRMLSequenceBrowserNode(self, node: Any) -> None:
        self._browser = node


class PlayWidget(BrowserWidget):
    """slicer.qMRMLSequenceBrowserPlayWidget, with the parts of its .ui file, which do nothing, and its shortcuts."""

    PARTS = (
        "VcrFirst",
        "VcrPrevious",
        "VcrPlayPause",
        "VcrNext",
        "VcrLast",
        "rate",
        "VcrLoop",
        "VcrRecord",
        "Snapshot",
    )

    def _fill(self) -> None:
        for part in self.PARTS:
            made = QtWidgets.QDoubleSpinBox() if part == "rate" else QT_WIDGETS["QPushButton"]("▸")
            _QObject.setObjectName(made, f"pushButton_{part}")
            self._layout.addWidget(made)
        for key in ("Ctrl+Shift+Down", "Ctrl+Shift+Left", "Ctrl+Shift+Right"):
            Shortcut(QtGui.QKeySequence(key), self)


CUSTOM = {
    "ctkCollapsibleButton": CollapsibleButton,
    "ctkCollapsibleGroupBox": CollapsibleGroupBox,
    "ctkSliderWidget": SliderWidget,
    "ctkPathLineEdit": PathLineEdit,
    "qMRMLWidget": MrmlWidget,
    "qMRMLNodeComboBox": NodeComboBox,
}


class Loader(QtUiTools.QUiLoader):
    """qt.QUiLoader that knows them; every other class it meets is noted."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.unknown: list[str] = []

    def createWidget(self, class_name: str, parent: Any = None, name: str = "") -> Any:
        made = CUSTOM.get(class_name) or QT_WIDGETS.get(class_name)
        if made is None:
            self.unknown.append(class_name)
            return super().createWidget(class_name, parent, name)
        widget = made(parent)
        _QObject.setObjectName(widget, name)
        _KEPT.append(widget)
        return widget


# The parameter node


class StandInParameters:
    """What ``parameterNodeWrapper`` makes of a class, for texts, numbers, choices and nodes."""

    def __init__(self, node: Any) -> None:
        object.__setattr__(self, "parameterNode", node)
        object.__setattr__(self, "_guis", {})
        object.__setattr__(self, "_nodes", {})
        # As Slicer's own: nodes referred to are remembered until the parameter node itself is modified.
        myself = weakref.ref(self)
        tag = node.AddObserver("ModifiedEvent", lambda caller, event: myself()._look_again())
        object.__setattr__(self, "_tag", tag)

    def __del__(self) -> None:
        self.parameterNode.RemoveObserver(self._tag)

    def _look_again(self) -> None:
        for name in self._nodes:
            self._nodes[name] = self.parameterNode.GetNodeReference(name)

    def connectGui(self, panel: Any) -> None:
        """As Slicer's own, which gives no tag back."""
        named = {}
        for widget in _QObject.findChildren(panel, QtWidgets.QWidget):
            name = _QObject.property(widget, "SlicerParameterName")
            if name:
                named[str(name)] = widget
        self.connectParametersToGui(named)

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        tag = len(self._guis)
        self._guis[tag] = {}
        for name, widget in mapping.items():
            self._bind(tag, name, widget)
        self.AddObserver("ModifiedEvent", lambda caller, event: self._show())
        return tag

    def _bind(self, tag: int, name: str, widget: Any) -> None:
        choices = list(type(self)._types[name])
        blocked = widget.blockSignals(True)
        QtWidgets.QComboBox.clear(widget)
        for choice in choices:
            QtWidgets.QComboBox.addItem(widget, choice.label())
        widget.blockSignals(blocked)
        changed = widget.currentIndexChanged.connect(lambda index: setattr(self, name, choices[index]))
        self._guis[tag][name] = (widget, choices, changed)
        self._show()

    def _show(self) -> None:
        for shown in self._guis.values():
            for name, (widget, choices, _changed) in shown.items():
                QtWidgets.QComboBox.setCurrentIndex(widget, choices.index(getattr(self, name)))

    def disconnectGui(self, tag: int) -> None:
        for _widget, _choices, changed in self._guis.pop(tag, {}).values():
            _QObject.disconnect(changed)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)


def parameter_node_wrapper(described: type) -> type:
    """slicer.parameterNodeWrapper.parameterNodeWrapper."""
    types_of = typing.get_type_hints(described)
    members: dict[str, Any] = {"_types": types_of}
    for name, kind in types_of.items():
        members[name] = _property(name, kind, getattr(described, name, None))
    return type(described.__name__, (StandInParameters,), members)


def _property(name: str, kind: type, default: Any) -> property:
    def read(self: StandInParameters) -> Any:
        node = self.parameterNode
        if issubclass(kind, slicer.vtkMRMLNode):
            return self._nodes.setdefault(name, node.GetNodeReference(name))
        text = node.GetParameter(name) if node.HasParameter(name) else None
        if text is None:
            return default if default is not None else kind()
        return kind[text] if issubclass(kind, Enum) else kind(text)

    def write(self: StandInParameters, value: Any) -> None:
        node = self.parameterNode
        if issubclass(kind, slicer.vtkMRMLNode):
            node.SetNodeReferenceID(name, None if value is None else value.GetID())
            self._nodes[name] = node.GetNodeReference(name)
            node.Modified()
        else:
            if not isinstance(value, kind):
                raise TypeError(f"{name} is {kind.__name__}, got {type(value).__name__}.")
            node.SetParameter(name, value.name if issubclass(kind, Enum) else str(value))

    return property(read, write)


# Names of `slicer`


class Application:
    """slicer.app without a main window.

    Args:
        folder: For temporary files.
        app_logic: The application's logic.
    """

    def __init__(self, folder: Path, app_logic: Any) -> None:
        self.temporaryPath = str(folder)
        self.slicerHome = str(folder)
        self._app_logic = app_logic
        self.started: list[Callable[[], None]] = []

    def applicationLogic(self) -> Any:
        return self._app_logic

    def layoutManager(self) -> None:
        return None

    def processEvents(self, *flags: Any) -> None:
        QtWidgets.QApplication.processEvents()

    def testingEnabled(self) -> bool:
        return False

    def connect(self, signal: str, call: Callable[[], None]) -> None:
        self.started.append(call)


def qt_module() -> types.ModuleType:
    """``qt``: Qt's names in one module."""
    module = types.ModuleType("qt")
    for source in (QtCore, QtGui, QtWidgets):
        for name in dir(source):
            if name.startswith("Q"):
                setattr(module, name, getattr(source, name))
    for name, made in QT_WIDGETS.items():
        setattr(module, name, made)
    module.QTimer, module.QAction, module.QShortcut, module.QUiLoader = Timer, Action, Shortcut, Loader
    return module


def install(patch: Any, *, scene: Any, app_logic: Any, folder: Path) -> Any:
    """Put the stand-ins where the module's code looks; undone with the monkeypatch.

    Args:
        patch: A pytest.MonkeyPatch.
        scene: vtkMRMLScene.
        app_logic: Its application logic.
        folder: For temporary files.

    Returns:
        The QApplication.
    """
    app = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["stand-in"])
    wrapper = types.ModuleType("slicer.parameterNodeWrapper")
    wrapper.parameterNodeWrapper = parameter_node_wrapper
    i18n = types.ModuleType("slicer.i18n")
    i18n.tr = lambda text: text
    i18n.translate = lambda context, text: text
    base = types.ModuleType("slicer.ScriptedLoadableModule")
    for name in ("ScriptedLoadableModule", "ScriptedLoadableModuleWidget", "ScriptedLoadableModuleLogic"):
        setattr(base, name, globals()[f"StandIn{name}"])
    base.ScriptedLoadableModuleTest = StandInScriptedLoadableModuleTest
    for name, module in (("qt", qt_module()), ("ctk", types.ModuleType("ctk"))):
        patch.setitem(sys.modules, name, module)
    for name, module in (("i18n", i18n), ("parameterNodeWrapper", wrapper), ("ScriptedLoadableModule", base)):
        patch.setitem(sys.modules, f"slicer.{name}", module)
        patch.setattr(slicer, name, module, raising=False)
    for name, made in CUSTOM.items():
        patch.setattr(slicer, name, made, raising=False)
    patch.setattr(slicer, "qMRMLSequenceBrowserSeekWidget", BrowserWidget, raising=False)
    patch.setattr(slicer, "qMRMLSequenceBrowserPlayWidget", PlayWidget, raising=False)
    patch.setattr(slicer, "mrmlScene", scene, raising=False)
    patch.setattr(slicer, "app", Application(folder, app_logic), raising=False)
    patch.setattr(slicer.util, "settingsValue", lambda name, default, converter=None: default, raising=False)
    patch.setattr(slicer.util, "mainWindow", lambda: None)
    patch.setattr(slicer.util, "childWidgetVariables", _children)
    return app


def _children(widget: Any) -> types.SimpleNamespace:
    """slicer.util.childWidgetVariables."""
    found = {child.objectName: child for child in _QObject.findChildren(widget, QtWidgets.QWidget) if _named(child)}
    return types.SimpleNamespace(**found)


def _named(child: Any) -> bool:
    return isinstance(child, PythonQtManners) and bool(child.objectName) and not child.objectName.startswith("qt_")


class StandInScriptedLoadableModule:
    """slicer.ScriptedLoadableModule.ScriptedLoadableModule."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent


class StandInScriptedLoadableModuleWidget:
    """The base of a module's panel."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.parent = QT_WIDGETS["QWidget"]()
        self.layout = QtWidgets.QVBoxLayout(self.parent)
        self.layout.setContentsMargins(6, 6, 6, 6)

    def setup(self) -> None:
        pass


class StandInScriptedLoadableModuleLogic:
    """The base of a module's logic."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")

    def getParameterNode(self) -> Any:
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.vtkMRMLScriptedModuleNode()
            node.SetSingletonTag(self.moduleName)
            node.SetAttribute("ModuleName", self.moduleName)
            node.SetName(self.moduleName)
            node = slicer.mrmlScene.AddNode(node)
        return node


class StandInScriptedLoadableModuleTest:
    """The base of a module's test."""


class LayoutManager:
    """slicer.app.layoutManager(): makes the slice nodes that a layout names, and no widget.

    Args:
        scene: Of the nodes.
        app_logic: Which is told of the slice logics.
    """

    plotViewCount = 0

    def __init__(self, scene: Any, app_logic: Any) -> None:
        self._scene, self._app_logic = scene, app_logic
        self._node = slicer.vtkMRMLLayoutNode()
        red = '<item><view class="vtkMRMLSliceNode" singletontag="Red"/></item>'
        self._node.AddLayoutDescription(self._node.SlicerLayoutFourUpView, f'<layout type="horizontal">{red}</layout>')
        self.layouts: list[int] = []
        self._logics: list[Any] = []
        self.listeners: list[Callable[[int], None]] = []

    def connect(self, signal: str, call: Callable[[int], None]) -> None:
        assert signal == "layoutChanged(int)"
        self.listeners.append(call)

    def disconnect(self, signal: str, call: Callable[[int], None]) -> None:
        if call in self.listeners:  # Qt says nothing where it is not
            self.listeners.remove(call)

    def layoutLogic(self) -> Any:
        return types.SimpleNamespace(GetLayoutNode=lambda: self._node)

    def setLayout(self, identifier: int) -> None:
        self.layouts.append(identifier)
        self._node.SetViewArrangement(identifier)
        self._make_views(identifier)
        for listener in tuple(self.listeners):
            listener(identifier)

    def _make_views(self, identifier: int) -> None:
        for view in ElementTree.fromstring(self._node.GetLayoutDescription(identifier)).iter("view"):
            tag = view.get("singletontag")
            if view.get("class") != "vtkMRMLSliceNode" or self._scene.GetSingletonNode(tag, "vtkMRMLSliceNode"):
                continue
            logic = slicer.vtkMRMLSliceLogic()
            logic.SetMRMLApplicationLogic(self._app_logic)
            logic.SetMRMLScene(self._scene)
            logic.AddSliceNode(tag)
            self._app_logic.GetSliceLogics().AddItem(logic)
            self._logics.append(logic)

    def close(self) -> None:
        """Take the slice logics that were made out of the application again, and their views out of the scene."""
        for logic in self._logics:
            self._app_logic.GetSliceLogics().RemoveItem(logic)
            nodes = [logic.GetSliceNode(), logic.GetSliceCompositeNode()]
            logic.SetMRMLScene(None)
            for node in nodes:
                self._scene.RemoveNode(node)
        self._logics.clear()
