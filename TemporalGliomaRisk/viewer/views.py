"""Slicer's slice and 3D views, each drawn off screen and shown in the page as a stream of pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from trame_rca import module as pictures_module
from trame_rca.schedulers import RcaImageRenderScheduler
from trame_rca.utils import RcaViewAdapter
from trame_slicer.core import SlicerApp
from trame_slicer.rca_view.rca_view_factory import RcaRenderStrategy
from trame_slicer.views import NoScheduleRendering, SliceView, ThreeDView

from TemporalGliomaRisk.viewer.drawing import (
    ENCODER,
    SLICES_PER_SECOND,
    STILL_QUALITY,
    SettlingScheduler,
    SettlingWindow,
    SliceWindow,
)
from TemporalGliomaRisk.viewer.plain_slices import PlainSliceArea, PlainSliceView
from TemporalGliomaRisk.viewer.saving import nodes_of_view

BLACK = "#000000"
THREE_D_BACKGROUND = ("#07090d", "#141b26")
_ENCODERS = 2


@dataclass(frozen=True, kw_only=True)
class ShownView:
    """One view: Slicer's side, and the side that the page sees."""

    name: str
    view: Any
    adapter: Any
    scheduler: Any


class Views:
    """Every view that was ever shown, by name; only those of the present layout are drawn.

    Args:
        server: trame's server.
        host: Slicer's scene and application logic.
        with_opengl: Whether pictures can be drawn with it; else slices are drawn without, and nothing else.
        changed: Called with a slice view's name whenever its slice moved.
        resized: Called with a slice view's name when the page gave it another size.
        stepped: Called with a slice view's name and a number of slices when the wheel turns and no window takes it.
        turned: Called with the camera node of a 3D view whenever it moved.
    """

    def __init__(
        self,
        server: Any,
        host: SlicerApp,
        *,
        with_opengl: bool,
        changed: Callable[[str], None],
        resized: Callable[[str], None],
        stepped: Callable[[str, int], None],
        turned: Callable[[Any], None],
    ) -> None:
        self._server = server
        self._host = host
        self._changed = changed
        self._resized = resized
        self._stepped = stepped
        self._turned = turned
        self._with_opengl = with_opengl
        self._views: dict[str, ShownView] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._encode_pool = ThreadPoolExecutor(_ENCODERS, thread_name_prefix="encode")
        server.enable_module(pictures_module)

    def show(self, slices: dict[str, str], three_d: Iterable[str]) -> None:
        """Draw exactly these views from now on; those not there yet are made.

        Args:
            slices: Name -> orientation: Axial, Coronal or Sagittal.
            three_d: Names.
        """
        for name, orientation in slices.items():
            if name not in self._views:
                self._views[name] = self._slice_view(name, orientation)
            elif self.slice(name).get_orientation() != orientation:
                self.slice(name).set_orientation(orientation)
        for name in three_d:
            if name not in self._views:
                self._views[name] = self._three_d_view(name)
        wanted = {*slices, *three_d}
        for name, shown in self._views.items():
            shown.view.set_mapped_in_layout(name in wanted)
            shown.view.set_render_blocked(name not in wanted)

    def slice(self, name: str) -> Any:
        """A slice view of trame-slicer."""
        return self._views[name].view

    def slice_node(self, name: str) -> Any:
        """A view's vtkMRMLSliceNode."""
        return self._views[name].view.get_view_node()

    def three_d(self) -> list[Any]:
        """The 3D views."""
        return [shown.view for shown in self._views.values() if isinstance(shown.view, ThreeDView)]

    def expect_slow_3d(self) -> None:
        """Something else is shown in 3D from now on."""
        for shown in self._views.values():
            if isinstance(shown.scheduler, SettlingScheduler):
                shown.scheduler.expect_the_worst()

    def names(self) -> list[str]:
        """All views made so far."""
        return list(self._views)

    def slice_names(self) -> list[str]:
        """All slice views made so far."""
        return [name for name, shown in self._views.items() if not isinstance(shown.view, ThreeDView)]

    def draw(self, *, with_3d: bool = True) -> None:
        """Draw the views of the present layout again, its 3D views or without them."""
        for shown in self._views.values():
            if with_3d or not isinstance(shown.view, ThreeDView):
                shown.view.schedule_render()

    async def close(self) -> None:
        """Draw no more and give the windows back."""
        for shown in self._views.values():
            await shown.adapter.close()
            shown.view.finalize()
        self._encode_pool.shutdown()

    def _slice_view(self, name: str, orientation: str) -> ShownView:
        view, area = self._with_window(name) if self._with_opengl else self._without_window(name)
        view.set_orientation(orientation)
        area.resized = lambda: self._resized(name)
        scheduler = RcaImageRenderScheduler(
            area,
            interactive_quality=STILL_QUALITY,
            still_quality=STILL_QUALITY,
            target_fps=SLICES_PER_SECOND,
            rca_encoder=ENCODER,
        )
        view.get_view_node().AddObserver("ModifiedEvent", lambda *_: self._changed(name))
        return self._registered(name, view, area, scheduler)

    def _with_window(self, name: str) -> tuple[Any, Any]:
        view = SliceView(self._host.scene, self._host.app_logic, name, scheduled_render_strategy=NoScheduleRendering())
        view.set_background_color_from_string(BLACK)
        view.render_window().SetMultiSamples(0)
        return view, SliceWindow(view.render_window(), self._server.state, f"cursor_{name}")

    def _without_window(self, name: str) -> tuple[Any, Any]:
        view = PlainSliceView(self._host, name)
        return view, PlainSliceArea(view, lambda steps: self._stepped(name, steps))

    def _three_d_view(self, name: str) -> ShownView:
        view = ThreeDView(self._host.scene, self._host.app_logic, name, scheduled_render_strategy=NoScheduleRendering())
        view.set_background_color_from_string(THREE_D_BACKGROUND)
        view.renderer().GradientBackgroundOn()
        view.set_box_visible(False)
        # Both cost seconds a picture without graphics hardware, and nothing here needs them.
        view.renderer().SetUseDepthPeeling(False)
        view.renderer().SetUseDepthPeelingForVolumes(False)
        view.get_camera_node().AddObserver("ModifiedEvent", lambda camera, _: self._turned(camera))
        window = SettlingWindow(view.render_window(), self._server.state, f"cursor_{name}")
        return self._registered(name, view, window, SettlingScheduler(window, self._encode_pool))

    def _registered(self, name: str, view: Any, window: Any, scheduler: Any) -> ShownView:
        # A scene that is saved is for Slicer, whose views have other names.
        for node in nodes_of_view(self._host.scene, view.get_view_node()):
            node.SetSaveWithScene(False)
        adapter = RcaViewAdapter(window, name, scheduler=scheduler, do_schedule_render_on_interaction=False)
        view.set_scheduled_render(RcaRenderStrategy(scheduler))

        async def register() -> None:
            await self._server.ready
            self._server.controller.rc_area_register(adapter)

        task = asyncio.get_running_loop().create_task(register())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return ShownView(name=name, view=view, adapter=adapter, scheduler=scheduler)
