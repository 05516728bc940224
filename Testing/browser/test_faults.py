"""What the viewer writes when the system refuses, the page goes away, or the viewer is killed."""

from __future__ import annotations

import asyncio
import errno
import importlib.util
import io
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from TemporalGliomaRisk.errors import OutputError
from TemporalGliomaRisk.scene.host import headless_scene
from TemporalGliomaRisk.scene.saving import write_mrb
from TemporalGliomaRisk.viewer import uploads
from TemporalGliomaRisk.viewer.private_folder import PREFIX, private_folder, remove_abandoned
from TemporalGliomaRisk.viewer.runs import IDLE, Runs
from TemporalGliomaRisk.viewer.uploads import Uploads


def faults_of_the_system() -> Any:
    """``Faults`` of Testing/faults, for no folder of tests is on Python's path."""
    path = Path(__file__).resolve().parents[1] / "faults" / "conftest.py"
    spec = importlib.util.spec_from_file_location("faults_conftest", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Faults


# The scene


def test_whichever_call_fails_a_saved_scene_is_the_earlier_one_or_the_new_one_whole(tmp_path: Path) -> None:
    faults, scene, path = faults_of_the_system(), headless_scene(), tmp_path / "saved" / "scene.mrb"
    node = scene.AddNewNodeByClass("vtkMRMLTextNode", "marker of this test")
    try:
        write_mrb(scene, path)
        earlier = path.read_bytes()
        with faults().installed() as counted:
            write_mrb(scene, tmp_path / "counted" / "scene.mrb")
        assert {"mkdir", "fsync", "replace"} <= set(counted.made)
        refused = 0
        for at in range(1, len(counted.made) + 1):
            path.write_bytes(earlier)
            with faults(at, errno.EIO).installed():
                refused += refusal_of(lambda: write_mrb(scene, path)) is not None
            assert [name.name for name in path.parent.iterdir()] == ["scene.mrb"]
            with zipfile.ZipFile(path) as archive:
                assert archive.testzip() is None
                assert any(b"marker of this test" in archive.read(name) for name in archive.namelist())
        assert refused >= 3
    finally:
        scene.RemoveNode(node)


def refusal_of(write: Callable[[], None]) -> str | None:
    try:
        write()
    except (OutputError, OSError) as error:
        return str(error)
    return None


# Uploads


def sending(folder: Path, send: Any) -> Any:
    """Run ``send(client, upload)`` against the uploads' own routes."""

    async def go() -> Any:
        application = web.Application()
        application.add_routes(Uploads(folder).routes())
        async with TestClient(TestServer(application)) as client:
            return await send(client, await (await client.post("/upload/new")).text())

    return asyncio.run(go())


def test_a_disk_that_fills_while_a_folder_is_uploaded_is_told_and_nothing_of_it_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/SECRETNAME")

    class FullPath(type(tmp_path)):
        def open(self, *given: Any, **named: Any) -> Any:
            self.touch()
            return Full()

    async def send(client: Any, upload: str) -> tuple[int, int, str]:
        kept = await client.post(f"/upload/{upload}/file?name=first.nii.gz", data=b"x" * 1000)
        with monkeypatch.context() as patch:
            patch.setattr(uploads, "safe_name", FullPath)
            patch.setattr(FullPath, "__rtruediv__", lambda path, folder: FullPath(f"{folder}/second.nii.gz"))
            refused = await client.post(f"/upload/{upload}/file?name=second.nii.gz", data=b"x" * 1000)
        return kept.status, refused.status, await refused.text()

    kept, status, said = sending(tmp_path / "uploads", send)
    assert (kept, status) == (200, 507)
    assert said == "The upload could not be kept (No space left on device)."
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_page_that_goes_in_the_midst_of_a_file_leaves_no_half_of_it(tmp_path: Path) -> None:
    seen: list[int] = []

    async def send(client: Any, upload: str) -> list[str]:
        server = client.server
        _, writer = await asyncio.open_connection(server.host, server.port)
        line = f"POST /upload/{upload}/file?name=half.nii.gz HTTP/1.1"
        writer.write(f"{line}\r\nHost: x\r\nContent-Length: 900000\r\n\r\n".encode() + b"x" * 400_000)
        await writer.drain()
        half = tmp_path / "uploads" / upload / "half.nii.gz"
        for _ in range(200):
            if half.exists() and half.stat().st_size:
                break
            await asyncio.sleep(0.01)
        seen.append(half.stat().st_size)
        writer.transport.abort()
        for _ in range(200):
            if not half.exists():
                break
            await asyncio.sleep(0.01)
        return [path.name for path in half.parent.glob("*")] if half.parent.exists() else []

    assert sending(tmp_path / "uploads", send) == []
    assert 0 < seen[0] < 900_000


# The viewer's own folder

HOLD = """
import sys, tempfile, time
from TemporalGliomaRisk.viewer.private_folder import private_folder
with private_folder() as folder:
    (folder / "uploads").mkdir()
    (folder / "uploads" / "scan.nii.gz").write_text("x")
    print(folder, flush=True)
    time.sleep(600)
"""


def older(folder: Path, seconds: float) -> None:
    os.utime(folder, (time.time() - seconds,) * 2)


def test_what_a_killed_viewer_left_goes_when_the_next_one_starts_and_a_running_one_s_stays(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    holders = [
        subprocess.Popen([sys.executable, "-c", HOLD], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        killed, running = (Path(holder.stdout.readline().strip()) for holder in holders)
        for folder in (killed, running):
            assert folder.stat().st_mode & 0o077 == 0
            older(folder, 3600)
        holders[0].send_signal(signal.SIGKILL)
        holders[0].wait(timeout=20)
        assert (killed / "uploads" / "scan.nii.gz").is_file()

        remove_abandoned(tmp_path)

        assert not killed.exists()
        assert (running / "uploads" / "scan.nii.gz").is_file()
    finally:
        for holder in holders:
            holder.kill()
            holder.wait()
            holder.stdout.close()


def test_a_young_folder_a_link_and_other_people_s_folders_are_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "file").write_text("x")
    young, link, other = tmp_path / f"{PREFIX}young", tmp_path / f"{PREFIX}link", tmp_path / "temporal-glioma-risk-x"
    young.mkdir()
    other.mkdir()
    link.symlink_to(target)
    older(other, 3600)
    os.utime(link, (0, 0), follow_symlinks=False)

    remove_abandoned(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([target.name, young.name, link.name, other.name])
    assert (target / "file").exists()


@pytest.mark.parametrize("years", [-30, 30])
def test_a_clock_that_moved_takes_no_running_viewer_s_folder(
    years: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with private_folder() as folder:
        older(folder, 3600)
        now = time.time()
        with monkeypatch.context() as patch:
            patch.setattr("TemporalGliomaRisk.viewer.private_folder.time.time", lambda: now + years * 31_557_600)
            remove_abandoned(tmp_path)
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == []


# What the system refuses while it starts and runs


def told_by_view(*arguments: str, **environment: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "TemporalGliomaRisk", "view", "--no-browser", *arguments]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, done.stderr


def test_a_port_in_use_is_told_by_its_number() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, said = told_by_view("--port", str(port))

    assert status == 2
    assert f"Port {port} on 127.0.0.1 cannot be used" in said


NO_SPACE = """
import sys, tempfile
def full(*given, **named):
    raise OSError(28, "No space left on device", "/data/SECRETNAME")
tempfile.mkdtemp = full
from TemporalGliomaRisk.commands import main
sys.exit(main(["view", "--no-browser"]))
"""


def test_a_full_disk_is_not_taken_for_a_port_in_use() -> None:
    done = subprocess.run([sys.executable, "-c", NO_SPACE], capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode == 1
    assert "temporary folder cannot be made (No space left on device)" in done.stderr
    assert "Port" not in done.stderr
    assert "SECRETNAME" not in done.stderr


def test_a_run_whose_worker_cannot_be_asked_ends_with_a_sentence_and_the_next_one_can_begin(tmp_path: Path) -> None:
    shown: list[dict[str, Any]] = []
    said: list[str] = []
    closed: list[float] = []

    class Client:
        asked = 0

        def predict(self, *_: Any, **__: Any) -> str:
            self.asked += 1
            return f"predict-{self.asked}"

        def poll(self) -> list[dict[str, Any]]:
            raise subprocess.TimeoutExpired(["taskkill", "/data/SECRETNAME"], 10)

        def close(self, timeout_s: float) -> None:
            closed.append(timeout_s)

    async def go() -> None:
        runs = Runs(show=shown.append, finished=lambda _: None, failed=said.append, client=Client())
        for _ in range(2):
            runs.predict(tmp_path, tmp_path / "out")
            await asyncio.wait_for(runs._task, 10)
            assert not runs.active

    asyncio.run(go())
    assert shown[-1] == IDLE
    assert len(closed) == len(said) == 2
    assert said[0].startswith("Stopped by an unexpected TimeoutExpired")
    assert said[0].endswith("the run was ended, start it again.")
    assert "SECRETNAME" not in said[0]
