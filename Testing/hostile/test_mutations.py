"""Every reader, given right input with a few bytes changed, takes it or refuses it in one sentence; nothing else."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from TemporalGliomaRisk.errors import InputError
from TemporalGliomaRisk.timeline.image_file import VolumeFile
from TemporalGliomaRisk.timeline.nifti_header import NiftiError, parse_nifti_header
from TemporalGliomaRisk.timeline.reading import read_timeline

FUZZ = Path(__file__).resolve().parents[1] / "fuzz" / "fuzz_readers.py"
spec = importlib.util.spec_from_file_location("fuzz_readers", FUZZ)
sys.modules["fuzz_readers"] = readers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(readers)

SLOW = ("model", "training", "checkpoint")
"""Readers that load torch, and build a network or a run anew every time."""
seeds_of = functools.cache(lambda name: list(readers.seeds(name)))
BOUNDED = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
EDITS = st.lists(
    st.tuples(st.integers(0, 5_000), st.sampled_from(("set", "drop", "insert", "cut")), st.binary(max_size=8)),
    min_size=1,
    max_size=6,
)


def edited(content: bytes, edits: list[tuple[int, str, bytes]]) -> bytes:
    """Bytes changed at some places; a place beyond the end counts from the beginning again."""
    for place, kind, piece in edits:
        at = place % (len(content) + 1)
        if kind == "set":
            content = content[:at] + piece + content[at + len(piece) :]
        elif kind == "insert":
            content = content[:at] + piece + content[at:]
        elif kind == "drop":
            content = content[:at] + content[at + 1 + len(piece) :]
        elif place % 5 == 0:
            content = content[:at]
    return content


@pytest.mark.parametrize("name", readers.READERS)
def test_changed_bytes_are_taken_or_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    @settings(BOUNDED, max_examples=25 if name in SLOW else 60)
    @given(seed=st.sampled_from(seeds_of(name)), edits=EDITS)
    def replayed(seed: bytes, edits: list[tuple[int, str, bytes]]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            readers.replay(name, tmp_path, edited(seed, edits))

    replayed()


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(([], {}, [[]]))
"""What a field of JSON can hold, of the wrong kind most often."""


def in_json(content: bytes) -> tuple[bytes, Any]:
    """A seed as its first byte, where that says which file it is, and its JSON; None where it is none."""
    for start in (0, 1):
        with contextlib.suppress(ValueError):
            return content[:start], json.loads(content[start:])
    return b"", None


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in JSON, as the keys and numbers that lead there."""
    yield path
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inside:
        yield from places(value, (*path, key))


def changed(content: Any, path: tuple[Any, ...], value: Any, *, gone: bool) -> Any:
    """JSON with another value at a place, or without it."""
    if not path:
        return value
    copy = dict(content) if isinstance(content, dict) else list(content)
    if gone and len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = changed(content[path[0]], path[1:], value, gone=gone)
    return copy


@pytest.mark.parametrize("name", ["result", "model", "truth", "training", "message"])
def test_json_of_other_values_is_taken_or_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    seeds = [(first, content) for first, content in map(in_json, seeds_of(name)) if content is not None]

    @settings(BOUNDED, max_examples=40)
    @given(data=st.data())
    def replayed(data: st.DataObject) -> None:
        first, content = data.draw(st.sampled_from(seeds))
        path = data.draw(st.sampled_from(list(places(content))))
        other = changed(content, path, data.draw(VALUES), gone=data.draw(st.booleans()))
        readers.replay(name, tmp_path, first + json.dumps(other).encode())

    replayed()


@BOUNDED
@given(content=st.binary(max_size=700))
def test_any_bytes_are_a_nifti_header_or_refused(content: bytes) -> None:
    try:
        header = parse_nifti_header(content)
    except NiftiError:
        return
    assert min(header.shape) >= 1


@settings(BOUNDED, max_examples=150)
@given(edits=st.lists(st.tuples(st.integers(0, 347), st.binary(min_size=1, max_size=8)), min_size=1, max_size=5))
def test_a_nifti_file_that_is_read_has_the_size_and_place_its_header_states(
    edits: list[tuple[int, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = seeds_of("nifti")[0]
    for at, piece in edits:
        content = content[:at] + piece + content[at + len(piece) :]
    path = tmp_path_factory.getbasetemp() / "edited.nii"
    path.write_bytes(content)
    source = VolumeFile(path=path, role="a test")
    try:
        volume = source.read()
    except InputError:
        return
    assert volume.voxels.shape == source.check_header().shape
    assert np.isfinite(volume.geometry.ijk_to_ras).all()


CELLS = st.text(
    st.characters(codec="utf-8", exclude_characters='\0\r\n\t"') | st.sampled_from("0123456789-+."), max_size=12
)


@settings(BOUNDED, max_examples=100)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=5),
    columns=st.permutations(("session_id", "days_since_treatment", "acq_time")),
)
def test_no_cell_of_a_sessions_table_is_repeated_in_a_refusal(rows, columns, tmp_path_factory) -> None:
    folder = tmp_path_factory.getbasetemp() / "cells"
    marked = [tuple(f"QQZ{cell}" if cell else "" for cell in row) for row in rows]
    text = "\n".join("\t".join(row) for row in [tuple(columns), *marked]) + "\n"
    message = ""
    try:
        readers.read_sessions(folder, text.encode())
    except InputError as error:
        message = str(error)
    assert "QQZ" not in message


@settings(BOUNDED, max_examples=100)
@given(rows=st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS), min_size=1, max_size=5))
def test_no_cell_of_a_table_is_repeated_in_a_refusal(rows, tmp_path_factory) -> None:
    folder = tmp_path_factory.getbasetemp() / "cells"
    folder.mkdir(exist_ok=True)
    marked = ["\t".join(f"QQZ{cell}" if cell else "" for cell in row) for row in rows]
    path = folder / "table.tsv"
    path.write_text("\n".join(["path\tsequence\tdate\tpatient", *marked]) + "\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_timeline(path)
    assert "QQZ" not in str(caught.value)
