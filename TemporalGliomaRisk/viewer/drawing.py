"""How a view's picture gets from VTK to the page.

Slices are drawn at once; 3D coarsely while it moves and finely when it rests.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy.typing as npt
from trame_rca.encoders import RcaImageEncoder
from trame_slicer.rca_view.rca_view_factory import RcaWindow

ENCODER = RcaImageEncoder.JPEG
STILL_QUALITY, MOVING_QUALITY = 92, 60
SLICES_PER_SECOND = 25.0
COARSE_SECONDS, FINE_SECONDS = 0.12, 1.2
"""What one 3D picture may cost: while it moves, and when it rests. The page waits while it is drawn."""
REST_SECONDS = 0.3
"""So long nothing must have moved before the fine picture is drawn."""
SLOW_SECONDS_PER_PIXEL = 8e-6
"""What a ray-cast pixel costs on one slow core; taken until a picture was timed."""
LEAST_SCALE = 0.16
_MOUSE_KEYS = ("Key", "Char")

Push = Callable[[bytes, dict[str, Any]], None]


class SliceWindow(RcaWindow):  # type: ignore[misc]
    """A view's window as trame-rca drives it; the keyboard belongs to the page.

    Attributes:
        resized: Called after the page gave the view another size.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.resized: Callable[[], None] = lambda: None

    def process_resize_event(self, width: int, height: int) -> None:
        """The page gave the view another size."""
        super().process_resize_event(width, height)
        self.resized()

    def process_interaction_event(self, event: dict[str, Any]) -> None:
        """Pass what the mouse does to the view."""
        if not str(event.get("type", "")).startswith(_MOUSE_KEYS):
            super().process_interaction_event(event)


class SettlingWindow(SliceWindow):
    """A 3D view's window, drawn smaller than it is shown as long as it moves."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._full = (300, 300)
        self._scale = 1.0
        self.pressed = False
        self.moved: Callable[[], None] = lambda: None

    @property
    def pixels(self) -> int:
        """Of the view as it is shown."""
        return self._full[0] * self._full[1]

    def process_resize_event(self, width: int, height: int) -> None:
        """The page gave the view another size."""
        self._full = (width, height)
        self._resize()

    def set_scale(self, scale: float) -> None:
        """Draw at a part of the size that is shown, 0 to 1."""
        if scale != self._scale:
            self._scale = scale
            self._resize()

    def process_interaction_event(self, event: dict[str, Any]) -> None:
        """Pass what the mouse does, in the pixels that are drawn; a press makes the picture coarse first."""
        kind = str(event.get("type", ""))
        if kind.endswith("Press"):
            self.pressed = True
            self.moved()
        elif kind.endswith("Release"):
            self.pressed = False
        elif "Wheel" in kind:
            self.moved()
        super().process_interaction_event(self._scaled(event))

    def _scaled(self, event: dict[str, Any]) -> dict[str, Any]:
        return {key: value * self._scale if key in ("x", "y", "w", "h") else value for key, value in event.items()}

    def _resize(self) -> None:
        width, height = (max(10, int(side * self._scale)) for side in self._full)
        super().process_resize_event(width, height)


class SettlingScheduler:
    """Draws a 3D view coarsely while something moves, and finely once nothing has for a moment.

    How small a coarse and a fine picture have to be is learned from what the last ones cost, so that a computer
    without graphics hardware stays usable and a fast one draws every pixel.
    """

    def __init__(self, window: SettlingWindow, encode_pool: ThreadPoolExecutor) -> None:
        self._window = window
        self._pool = encode_pool
        self._push: Push | None = None
        self._asked = asyncio.Event()
        self._seconds_per_pixel = SLOW_SECONDS_PER_PIXEL
        self._moving_until = 0.0
        self.target_fps = SLICES_PER_SECOND
        window.moved = self._begin_moving
        self._task = asyncio.get_running_loop().create_task(self._draw_on_request())

    @property
    def rca(self) -> SettlingWindow:
        """The window."""
        return self._window

    def set_push_callback(self, callback: Push) -> None:
        """Where pictures go."""
        self._push = callback

    def schedule_render(self) -> None:
        """Something changed."""
        self._asked.set()

    def expect_the_worst(self) -> None:
        """Something else is shown from now on, and what that costs is not known yet."""
        self._seconds_per_pixel = SLOW_SECONDS_PER_PIXEL

    async def close(self) -> None:
        """Draw no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def reset(self) -> None:
        """Every picture is whole, so a page that connects needs nothing special."""

    def _begin_moving(self) -> None:
        self._moving_until = time.monotonic() + REST_SECONDS
        self._window.set_scale(self._scale_for(COARSE_SECONDS))
        self.schedule_render()

    def _scale_for(self, seconds: float) -> float:
        pixels = seconds / self._seconds_per_pixel
        return max(LEAST_SCALE, min(1.0, math.sqrt(pixels / max(1, self._window.pixels))))

    async def _draw_on_request(self) -> None:
        while True:
            await self._asked.wait()
            # A moment for slices, which are what a click waits for, and for further changes of the same cause.
            await asyncio.sleep(0.05)
            self._asked.clear()
            await self._draw(self._scale_for(COARSE_SECONDS), MOVING_QUALITY)
            if await self._rests():
                await self._draw(self._scale_for(FINE_SECONDS), STILL_QUALITY)

    async def _rests(self) -> bool:
        """Whether nothing was asked for during the time of rest, and no button is held."""
        while True:
            try:
                await asyncio.wait_for(self._asked.wait(), REST_SECONDS)
            except asyncio.TimeoutError:
                if not self._window.pressed:
                    return True
            else:
                return False

    async def _draw(self, scale: float, quality: int) -> None:
        self._window.set_scale(scale)
        started = time.monotonic()
        picture, columns, rows = self._window.img_cols_rows
        seconds = time.monotonic() - started
        self._asked.clear()  # what drawing itself reported as changed is in the picture
        self._seconds_per_pixel = 0.5 * self._seconds_per_pixel + 0.5 * seconds / max(1, columns * rows)
        content, meta = await asyncio.get_running_loop().run_in_executor(
            self._pool, _encoded, picture, columns, rows, quality
        )
        if self._push is not None:
            self._push(content, meta)


def _encoded(picture: npt.NDArray[Any], columns: int, rows: int, quality: int) -> tuple[bytes, dict[str, Any]]:
    content, meta, _ = ENCODER.encode(picture, columns, rows, quality)
    return content, meta
