"""Folders that the page sends, file by file, into a private place that goes when the viewer ends."""

from __future__ import annotations

import secrets
import shutil
from collections import Counter
from pathlib import Path, PurePosixPath

from aiohttp import web

from TemporalGliomaRisk.errors import InputError

MOST_BYTES = 4 << 30
MOST_FILES = 20_000
_MOST_PARTS, _LONGEST_PART = 12, 200


class Uploads:
    """All uploads of one run of the viewer.

    Args:
        folder: Private to this user; what is uploaded lies below it.
        most_bytes: Of all uploads together.
        most_files: Likewise.
    """

    def __init__(self, folder: Path, *, most_bytes: int = MOST_BYTES, most_files: int = MOST_FILES) -> None:
        self._folder = folder
        self._most_bytes, self._most_files = most_bytes, most_files
        self._bytes: Counter[str] = Counter()
        self._files: Counter[str] = Counter()

    def routes(self) -> list[web.RouteDef]:
        """``upload/new`` answers with an upload's id; its files go to ``upload/ID/file?name=a/b.nii.gz``."""
        return [web.post("/upload/new", self._new), web.post("/upload/{upload}/file", self._file)]

    def place(self, upload: str) -> Path:
        """What was uploaded: the one folder in it where there is only one.

        Raises:
            InputError: If there is no such upload.
        """
        folder = self._folder / upload
        if not upload.isalnum() or not folder.is_dir():
            raise InputError("The upload is not there any more; upload the folder again.")
        children = list(folder.iterdir())
        return children[0] if len(children) == 1 and children[0].is_dir() else folder

    async def _new(self, _: web.Request) -> web.Response:
        upload = secrets.token_hex(8)
        (self._folder / upload).mkdir(parents=True, mode=0o700)
        return web.Response(text=upload)

    async def _file(self, request: web.Request) -> web.Response:
        folder = self._folder / request.match_info["upload"]
        if not request.match_info["upload"].isalnum() or not folder.is_dir():
            return web.Response(status=404, text="There is no such upload.")
        try:
            path = folder / safe_name(request.query.get("name", ""))
            await self._store(request, path)
        except InputError as error:
            self._remove(folder)
            return web.Response(status=413, text=str(error))
        except OSError as error:
            self._remove(folder)
            return web.Response(status=507, text=f"The upload could not be kept ({error.strerror}).")
        return web.Response(text="kept")

    def _remove(self, folder: Path) -> None:
        """An upload that failed; what it took of the limits is free again."""
        shutil.rmtree(folder, ignore_errors=True)
        for taken in (self._bytes, self._files):
            taken.pop(folder.name, None)

    async def _store(self, request: web.Request, path: Path) -> None:
        upload = request.match_info["upload"]
        self._files[upload] += 1
        if self._files.total() > self._most_files:
            raise InputError("Too many files were uploaded; name the folder's path instead.")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("wb") as file:
                async for block in request.content.iter_chunked(1 << 18):
                    self._bytes[upload] += len(block)
                    if self._bytes.total() > self._most_bytes:
                        raise InputError(
                            f"More than {self._most_bytes / 2**30:.3g} GiB were uploaded; name the folder's path "
                            "instead."
                        )
                    file.write(block)
        except BaseException:  # the page may go in the midst of a file: no half of one stays
            path.unlink(missing_ok=True)
            raise


def safe_name(name: str) -> PurePosixPath:
    """A path inside an upload, from what the page sent.

    Raises:
        InputError: If it leaves the upload, or is no name of a file.
    """
    path = PurePosixPath(name)
    fine = (
        name
        and not path.is_absolute()
        and len(path.parts) <= _MOST_PARTS
        and all(part not in ("..", ".") and len(part) <= _LONGEST_PART for part in path.parts)
        and not any(character in name for character in "\\:\0")
    )
    if not fine or not path.parts:
        raise InputError("A file's name in the upload cannot be used; rename it, or name the folder's path instead.")
    return path
