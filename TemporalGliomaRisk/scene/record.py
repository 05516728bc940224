"""The node that knows what belongs to a patient, what is known of it, and how it is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import slicer

from TemporalGliomaRisk import RESEARCH_USE_ONLY
from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.scene.slices import nodes_of_class

MODULE = "TemporalGliomaRisk.scene"
OWNED = "owned"
STATE_VERSION = "1"


class SceneRecord:
    """A vtkMRMLScriptedModuleNode: facts as JSON, and references to every node of the patient.

    References are what Slicer keeps right when a scene is imported beside another one; names and IDs are not.

    Args:
        node: The node.
    """

    def __init__(self, node: Any) -> None:
        self.node = node

    @classmethod
    def new(cls, scene: Any, patient: str) -> SceneRecord:
        """A record for another patient."""
        node = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", f"{patient} timeline")
        node.SetModuleName(MODULE)
        node.SetHideFromEditors(True)
        node.SetParameter("state_version", STATE_VERSION)
        return cls(node)

    @classmethod
    def all_in(cls, scene: Any) -> Iterator[SceneRecord]:
        """Every record in a scene."""
        for node in nodes_of_class(scene, "vtkMRMLScriptedModuleNode"):
            if node.GetModuleName() == MODULE and node.GetParameter("state_version") == STATE_VERSION:
                yield cls(node)

    @property
    def scene(self) -> Any:
        """The scene that it is in.

        Raises:
            InputError: If the patient was removed from its scene, or the scene closed.
        """
        scene = self.node.GetScene()
        if scene is None:
            raise InputError("This patient is no longer in the scene. Build it again, or find it with all_in.")
        return scene

    def put(self, name: str, content: Any) -> None:
        """Keep a fact."""
        self.node.SetParameter(name, json.dumps(content, allow_nan=False))

    def get(self, name: str) -> Any:
        """A fact that was kept; None if it was not."""
        text = self.node.GetParameter(name)
        return json.loads(text) if text else None

    @property
    def research_use_only(self) -> str:
        """The sentence of the model that gave the risk; where there is none, or it is older, the shipped model's."""
        return str(self.get("research_use_only") or RESEARCH_USE_ONLY)

    @property
    def label(self) -> str:
        """What tells this patient from the scene's others; see :func:`~TemporalGliomaRisk.scene.labels.tell_apart`."""
        return str(self.get("label") or self.get("patient"))

    def add(self, class_name: str, name: str, role: str | None = None) -> Any:
        """A new node of this patient."""
        return self.own(self.scene.AddNewNodeByClass(class_name, name), role)

    def own(self, node: Any, role: str | None = None) -> Any:
        """Take a node of the scene as this patient's."""
        self.node.AddNodeReferenceID(OWNED, node.GetID())
        if role is not None:
            self.node.SetNodeReferenceID(role, node.GetID())
        return node

    def find(self, role: str) -> Any:
        """The node of a role; None if there is none."""
        return self.node.GetNodeReference(role)

    def owned(self) -> list[Any]:
        """Every node of this patient but the record."""
        count = self.node.GetNumberOfNodeReferences(OWNED)
        nodes = [self.node.GetNthNodeReference(OWNED, index) for index in range(count)]
        return [node for node in nodes if node is not None]

    def remove_owned(self) -> None:
        """Remove them, with the display, storage and other nodes that only they use."""
        nodes = self.owned()
        remove_nodes(self.scene, nodes)
        self.node.RemoveNodeReferenceIDs(OWNED)

    def remove(self) -> None:
        """Remove them and the record."""
        self.remove_owned()
        self.scene.RemoveNode(self.node)


def remove_nodes(scene: Any, nodes: list[Any]) -> None:
    """Remove nodes and what only they use; browsers go first, or they would make their proxies anew."""
    browsers = [node for node in nodes if node.IsA("vtkMRMLSequenceBrowserNode")]
    for node in [*browsers, *nodes]:
        if node.GetScene() is not scene:
            continue
        helpers = _helpers(node)
        scene.RemoveNode(node)
        for helper in helpers:
            if helper.GetScene() is scene:
                scene.RemoveNode(helper)


def _helpers(node: Any) -> list[Any]:
    """Display nodes, storage nodes, and a volume rendering's property and region."""
    helpers: list[Any] = []
    if node.IsA("vtkMRMLDisplayableNode"):
        for index in range(node.GetNumberOfDisplayNodes()):
            display = node.GetNthDisplayNode(index)
            if display is None:
                continue
            helpers.append(display)
            if display.IsA("vtkMRMLVolumeRenderingDisplayNode"):
                property_node, region = display.GetVolumePropertyNode(), display.GetROINode()
                for other in (property_node, region):
                    helpers += [] if other is None else [other, *_helpers(other)]
    if node.IsA("vtkMRMLStorableNode"):
        storages = [node.GetNthStorageNode(index) for index in range(node.GetNumberOfStorageNodes())]
        helpers += [storage for storage in storages if storage is not None]
    return helpers


def hierarchy_of(scene: Any) -> Any:
    """The scene's vtkMRMLSubjectHierarchyNode."""
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
