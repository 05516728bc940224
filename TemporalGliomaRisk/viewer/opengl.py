"""Whether this computer can draw with OpenGL, and through what.

Asked in a process of its own, with a time limit: a failing driver ends or hangs the process it is in.
"""

from __future__ import annotations

import os
import subprocess
import sys

WINDOW_VARIABLE = "VTK_DEFAULT_OPENGL_WINDOW"
"""How VTK is told which kind of window to make."""
EGL, OSMESA = "vtkEGLRenderWindow", "vtkOSOpenGLRenderWindow"
PROBE_SECONDS = 30.0
PROBE = """
import vtk
window = vtk.vtkRenderWindow()
window.SetOffScreenRendering(1)
window.SetSize(32, 32)
renderer = vtk.vtkRenderer()
renderer.SetBackground(1, 0, 0)
window.AddRenderer(renderer)
window.Render()
grabber = vtk.vtkWindowToImageFilter()
grabber.SetInput(window)
grabber.Update()
raise SystemExit(0 if grabber.GetOutput().GetScalarComponentAsDouble(16, 16, 0, 0) > 200 else 3)
"""
"""Draws one red picture and looks whether it is red."""


def prepare_drawing() -> bool:
    """Find a kind of window that draws on this computer, and have VTK use it in this process.

    Returns:
        Whether there is one; without it VTK is left as it was.
    """
    for window in _kinds_of_window():
        if can_draw(window):
            if window:
                os.environ[WINDOW_VARIABLE] = window
            return True
    return False


def can_draw(window: str) -> bool:
    """Whether a picture drawn with OpenGL comes out right within :data:`PROBE_SECONDS`.

    Args:
        window: VTK's class of window; empty for the one that it chooses.
    """
    environment = {**os.environ, **({WINDOW_VARIABLE: window} if window else {})}
    try:
        ended = subprocess.run(
            [sys.executable, "-c", PROBE],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PROBE_SECONDS,
            check=False,
            env=environment,
        )
    except (subprocess.TimeoutExpired, OSError):
        return False
    return ended.returncode == 0


def _kinds_of_window() -> list[str]:
    """Kinds to try, the likeliest first; on Linux a screen is not needed."""
    if os.environ.get(WINDOW_VARIABLE) or not sys.platform.startswith("linux"):
        return [""]
    return ["", EGL, OSMESA] if os.environ.get("DISPLAY") else [EGL, OSMESA]
