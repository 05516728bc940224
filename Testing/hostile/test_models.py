"""Crafted weights: refused in one sentence, before memory is taken for what they state, and nothing in them run."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from TemporalGliomaRisk.bundle import CALIBRATION, CARD, INFERENCE, METADATA, SUMS, WEIGHTS, seal_bundle
from TemporalGliomaRisk.commands import main

GIGABYTE = 1_000_000_000


class Bomb:
    """Leaves a file behind if anyone unpickles it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def weights(header: bytes | dict[str, Any], body: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file of any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def right_header(bundle: Path) -> tuple[dict[str, Any], bytes]:
    content = (bundle / WEIGHTS).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def put(name: str, content: bytes) -> Callable[[Path], None]:
    """Replace a file of the bundle, hashes made right again: an attacker can do that, too."""

    def change(bundle: Path) -> None:
        (bundle / name).write_bytes(content)
        seal_bundle(bundle)

    return change


def edit_weights(edit: Callable[[dict[str, Any], bytes], bytes]) -> Callable[[Path], None]:
    def change(bundle: Path) -> None:
        put(WEIGHTS, edit(*right_header(bundle)))(bundle)

    return change


def edit_json(name: str, edit: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def change(bundle: Path) -> None:
        content = json.loads((bundle / name).read_text(encoding="utf-8"))
        edit(content)
        put(name, json.dumps(content).encode())(bundle)

    return change


def first_tensor(**changes: Any) -> Callable[[Path], None]:
    def edit(header: dict[str, Any], body: bytes) -> bytes:
        name = next(name for name in header if name != "__metadata__")
        header[name] |= changes
        return weights(header, body)

    return edit_weights(edit)


def renamed(header: dict[str, Any], body: bytes) -> bytes:
    return weights({f"x.{name}": value for name, value in header.items()}, body)


def without_one(header: dict[str, Any], body: bytes) -> bytes:
    last = max((name for name in header if name != "__metadata__"), key=lambda name: header[name]["data_offsets"][1])
    begin = header.pop(last)["data_offsets"][0]
    return weights(header, body[:begin])


def with_one_more(header: dict[str, Any], body: bytes) -> bytes:
    header["extra"] = {"dtype": "F32", "shape": [2], "data_offsets": [len(body), len(body) + 8]}
    return weights(header, body + bytes(8))


def linked_out(bundle: Path) -> None:
    (bundle / WEIGHTS).rename(bundle.parent / "elsewhere")
    (bundle / WEIGHTS).symlink_to(bundle.parent / "elsewhere")


def a_pipe(bundle: Path) -> None:
    (bundle / WEIGHTS).unlink()
    os.mkfifo(bundle / WEIGHTS)


def a_device(bundle: Path) -> None:
    (bundle / WEIGHTS).unlink()
    (bundle / WEIGHTS).symlink_to("/dev/zero")


def sparse(name: str, size: int) -> Callable[[Path], None]:
    def change(bundle: Path) -> None:
        os.truncate(bundle / name, size)

    return change


def pickled(bundle: Path) -> None:
    put(WEIGHTS, pickle.dumps(Bomb(bundle.parent / "exploded")))(bundle)


def pickled_in_zip(bundle: Path) -> None:
    with zipfile.ZipFile(bundle / WEIGHTS, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb(bundle.parent / "exploded")))
    seal_bundle(bundle)


def pickle_beside(bundle: Path) -> None:
    (bundle / "models" / "model.pt").write_bytes(pickle.dumps(Bomb(bundle.parent / "exploded")))
    (bundle / WEIGHTS).unlink()
    seal_bundle(bundle)


def sums_of(text: bytes) -> Callable[[Path], None]:
    def change(bundle: Path) -> None:
        (bundle / SUMS).write_bytes(text)

    return change


SHAPE = {"dtype": "F32", "data_offsets": [0, 4]}
CASES: dict[str, tuple[Callable[[Path], None], str]] = {
    "pickle as weights": (pickled, "cannot be read as safetensors"),
    "pickle in a zip as weights": (pickled_in_zip, "cannot be read as safetensors"),
    "pickle beside, no weights": (pickle_beside, f"does not cover {WEIGHTS}"),
    "empty weights": (put(WEIGHTS, b""), "cannot be read as safetensors"),
    "no header": (put(WEIGHTS, b"\0" * 8), "cannot be read as safetensors"),
    "header of 2^63 bytes": (put(WEIGHTS, weights(b"{}", length=2**63)), "cannot be read as safetensors"),
    "header of 4 GB": (put(WEIGHTS, weights(b"{}", length=4 * GIGABYTE)), "cannot be read as safetensors"),
    "header longer than the file": (put(WEIGHTS, weights(b"{}", length=5000)), "cannot be read as safetensors"),
    "header that is no JSON": (put(WEIGHTS, weights(b"(1, 2)")), "cannot be read as safetensors"),
    "header of 100,000 brackets": (put(WEIGHTS, weights(b"[" * 100_000)), "cannot be read as safetensors"),
    "header with a name twice": (
        put(WEIGHTS, weights(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' * 2 + b'"b":1}', bytes(4))),
        "cannot be read as safetensors",
    ),
    "no tensors": (put(WEIGHTS, weights({})), "do not fit"),
    "tensor of 10^12 numbers": (
        put(WEIGHTS, weights({"a": {**SHAPE, "shape": [10**6, 10**6]}}, bytes(4))),
        "cannot be read as safetensors",
    ),
    "shape whose product wraps": (
        put(WEIGHTS, weights({"a": {**SHAPE, "shape": [2**32, 2**32]}}, bytes(4))),
        "cannot be read as safetensors",
    ),
    "negative shape": (first_tensor(shape=[-1, 8]), "cannot be read as safetensors"),
    "offsets beyond the file": (first_tensor(data_offsets=[0, 10**15]), "cannot be read as safetensors"),
    "offsets in reverse": (first_tensor(data_offsets=[64, 0]), "cannot be read as safetensors"),
    "unknown type": (first_tensor(dtype="PICKLE"), "cannot be read as safetensors"),
    "tensors of other names": (edit_weights(renamed), ""),
    "a tensor missing": (edit_weights(without_one), "do not fit"),
    "a tensor more": (edit_weights(with_one_more), "do not fit"),
    "weights cut": (edit_weights(lambda header, body: weights(header, body[:-100])), "cannot be read as safetensors"),
    "weights of 5 GB": (sparse(WEIGHTS, 5 * GIGABYTE), "larger than any"),
    "weights linked out of the folder": (linked_out, "outside its folder"),
    "weights that are a pipe": (a_pipe, "lacks"),
    "weights that are a device": (a_device, "outside its folder"),
    "a card of 5 GB": (sparse(CARD, 5 * GIGABYTE), "larger than any"),
    "hashes of 5 GB": (sparse(SUMS, 5 * GIGABYTE), "larger than any"),
    "100,000 lines of hashes": (sums_of(b"0" * 64 + b"  LICENSE\n" * 100_000), ""),
    "a name of hashes that moves the cursor": (sums_of(b"0" * 64 + b"  \x1b[2Jx\n"), "no file name"),
    "a name of hashes too long": (sums_of(b"0" * 64 + b"  " + b"x" * 5000 + b"\n"), ""),
    "members without end": (edit_json(INFERENCE, lambda c: c["network_def"].update(members=10**30)), "sizes"),
    "members of infinity": (edit_json(INFERENCE, lambda c: c["network_def"].update(members=float("inf"))), ""),
    "channels as text": (edit_json(INFERENCE, lambda c: c["network_def"]["config"].update(feature_channels="8")), ""),
    "a grid of 0.001 mm": (edit_json(INFERENCE, lambda c: c["preprocessing"].update(grid_mm=0.001)), "not understood"),
    "a grid of nan": (edit_json(INFERENCE, lambda c: c["preprocessing"].update(grid_mm=float("nan"))), ""),
    "a margin of a kilometre": (edit_json(INFERENCE, lambda c: c["preprocessing"].update(margin_mm=1e6)), ""),
    "blocks of no size": (edit_json(INFERENCE, lambda c: c["preprocessing"].update(block_mm=0.0)), ""),
    "polynomials of degree 10^6": (edit_json(INFERENCE, lambda c: c["preprocessing"].update(bias_order=10**6)), ""),
    "a clip of nothing": (edit_json(INFERENCE, lambda c: c["preprocessing"].update(clip=[])), ""),
    "a scale of nan": (edit_json(CALIBRATION, lambda c: c["ensemble"].update(local_scale=float("nan"))), ""),
    "gaps of text": (edit_json(METADATA, lambda c: c.update(trained_gaps_days=["a", "b"])), ""),
    "gaps of one number": (edit_json(METADATA, lambda c: c.update(trained_gaps_days=[1])), ""),
    "gaps that are no list": (edit_json(METADATA, lambda c: c.update(trained_gaps_days=7)), ""),
    "no caveat": (edit_json(METADATA, lambda c: c.pop("caveat")), ""),
    "a name that is a path": (edit_json(METADATA, lambda c: c.update(name="../../x")), ""),
}


@pytest.mark.parametrize("what", CASES)
def test_a_crafted_model_is_refused_in_one_sentence(
    what: str, small_bundle: Path, simulated_patient: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], bounded
) -> None:
    bundle = Path(shutil.copytree(small_bundle, tmp_path / "SECRETNAME"))
    change, words = CASES[what]
    change(bundle)
    with bounded:
        status = main(
            ["predict", str(simulated_patient), "--output", str(tmp_path / "out"), "--model", str(bundle), "--no-cache"]
        )
    said = capfd.readouterr()
    assert status == 2, said.err
    assert said.err.count("\n") == 1
    assert words in said.err
    assert [word for word in ("SECRETNAME", "Traceback", "\x1b") if word in said.out + said.err] == []
    assert not (tmp_path / "exploded").exists()
    assert not (tmp_path / "out").exists()
