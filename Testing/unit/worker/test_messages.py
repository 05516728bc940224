"""Lines and messages: whatever bytes come, whole messages come out or one sentence that says why not."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from TemporalGliomaRisk.worker.diagnostics import Diagnostics
from TemporalGliomaRisk.worker.messages import REQUESTS, ErrorKind, LineBuffer, MessageError, decode, encode
from TemporalGliomaRisk.worker.process import interpreter_to_use, worker_environment
from TemporalGliomaRisk.worker.schema import check_request, load_schema


@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line)), st.integers(1, 9))
def test_lines_come_out_whole_however_the_bytes_are_cut(lines: list[bytes], size: int) -> None:
    data = b"".join(line + b"\n" for line in lines)
    buffer = LineBuffer()
    found = [line for start in range(0, len(data), size) for line in buffer.feed(data[start : start + size])]
    assert found == [line.strip() for line in lines if line.strip()]
    assert buffer.dropped == 0


@given(st.integers(1, 50), st.integers(0, 200))
def test_a_line_too_long_is_dropped_and_the_next_one_heard(size: int, more: int) -> None:
    buffer = LineBuffer(longest_bytes=100)
    data = b"x" * (101 + more) + b"\n{}\n"
    found = [line for start in range(0, len(data), size) for line in buffer.feed(data[start : start + size])]
    assert found == [b"{}"]
    assert buffer.dropped == 1


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_decode_or_raise_a_message_error(line: bytes) -> None:
    with contextlib.suppress(MessageError):
        assert decode(line, REQUESTS)["type"] in REQUESTS


@pytest.mark.parametrize(
    ("line", "words", "request_id"),
    [
        (b"Loading...", "no JSON", None),
        (b"[1, 2]", "no JSON object", None),
        (b"[" * 100_000, "no JSON", None),
        (b'{"protocol": 2, "id": "a", "type": "bye"}', "protocol 1", "a"),
        (b'{"protocol": true, "id": "a", "type": "bye"}', "protocol 1", "a"),
        (b'{"id": "a", "type": "bye"}', "protocol 1", "a"),
        (b'{"protocol": 1, "id": "Jane Doe", "type": "bye"}', "The id must be", None),
        (b'{"protocol": 1, "id": 7, "type": "bye"}', "The id must be", None),
        (b'{"protocol": 1, "id": "a", "type": "boil"}', "none of predict", "a"),
    ],
)
def test_what_is_no_message_is_told_without_repeating_it(line: bytes, words: str, request_id: str | None) -> None:
    with pytest.raises(MessageError, match=words) as caught:
        decode(line, REQUESTS)
    assert caught.value.request_id == request_id
    assert "Jane" not in str(caught.value)


def test_a_message_is_one_ascii_line_and_comes_back_as_it_was() -> None:
    content = {"timeline": "/données/Ærø 日本\n", "options": {}}
    line = encode("predict", "a-1", content)
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert decode(line, REQUESTS) == {"protocol": 1, "id": "a-1", "type": "predict", **content}
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode("progress", None, {"fraction": float("nan")})


def asked(**changes: Any) -> dict[str, Any]:
    whole = {
        **{"protocol": 1, "id": "a", "type": "predict", "timeline": "/in", "table": None, "output": "/out"},
        "options": {"register": "auto"},
    }
    return {**whole, **changes}


@pytest.mark.parametrize("path", ["/in", "C:\\in", "C:/in", "\\\\server\\share"])
def test_absolute_paths_of_every_system_are_taken(path: str) -> None:
    check_request(asked(timeline=path))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"timeline": "in/Jane"}, "timeline"),
        ({"timeline": None}, "at t"),
        ({"table": [{"path": "/a.nii", "sequence": "FLAIR"}]}, "at t"),
        ({"timeline": None, "table": []}, "table: wanted minItems 1"),
        ({"timeline": None, "table": [{"path": "/a.nii", "sequence": "FLAIR", "Jane": 1}]}, "table: wanted enum"),
        ({"timeline": None, "table": [{"path": "Jane.nii", "sequence": "FLAIR"}]}, "path: wanted"),
        ({"output": None}, "output"),
        ({"options": {"register": "perhaps"}}, "register"),
        ({"options": {"heatmaps": "yes"}}, "heatmaps"),
        ({"options": {"mask": "brain.nii"}}, "mask"),
        ({"options": {"run": "rm"}}, "additionalProperties"),
        ({"options": None}, "options"),
        ({"id": None}, "id"),
    ],
)
def test_a_field_that_is_wrong_is_refused_by_its_name(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(MessageError, match=words) as caught:
        check_request(asked(**changes))
    assert "Jane" not in str(caught.value)


def test_a_message_without_an_id_is_refused_as_any_other() -> None:
    with pytest.raises(MessageError, match="wanted required") as caught:
        check_request({name: value for name, value in asked().items() if name != "id"})
    assert caught.value.request_id is None
    assert decode(b'{"protocol": 1, "type": "cancel"}', REQUESTS)["id"] is None


def test_schemas_and_code_know_the_same_types_and_kinds() -> None:
    answers, requests = load_schema("answer"), load_schema("request")
    assert requests["properties"]["type"]["enum"] == list(REQUESTS)
    assert answers["$defs"]["error"]["properties"]["kind"]["enum"] == list(get_args(ErrorKind))


# The error stream

LINES = """Traceback (most recent call last):
  File "/home/jane/site/TemporalGliomaRisk/timeline/bids.py", line 40, in read
  File "/scans/Jane Doe/script.py", line 2, in <module>
RuntimeError: could not read /scans/Jane Anna Doe/Jane_20190304.nii.gz: gone
WARNING C:\\scans\\Jane Doe\\a.nii is odd
Jane Doe was born on 04.03.2019 or 2019-03-04 or 20190304
free memory: 4 GB
stopped by an unexpected NameError in timeline/bids.py, line 40.
odd: ../Jane.py and /Jane/x.py
"""


def test_an_error_stream_is_shown_without_paths_names_and_dates() -> None:
    kept = Diagnostics()
    kept.withhold({"timeline": "/scans/Jane Doe", "options": {"patient": "Jane"}})
    for start in range(0, len(LINES), 7):
        kept.feed(LINES.encode()[start : start + 7])
    shown = kept.text()
    assert 'File "TemporalGliomaRisk/timeline/bids.py", line 40, in read' in shown
    assert "RuntimeError: could not read (withheld)" in shown
    assert "free memory: 4 GB" in shown
    assert "NameError in timeline/bids.py, line 40." in shown
    assert "odd: (withheld)" in shown
    assert [word for word in ("Jane", "Anna", "Doe", "2019", "scans", "home") if word in shown] == []


def test_an_error_stream_without_end_is_kept_by_its_last_lines() -> None:
    kept = Diagnostics()
    for number in range(5000):
        kept.feed(b"y" * 2000 + f" {number}\n".encode())
    assert len(kept.text()) < 200 * 520
    kept.feed(b"the last\n")
    assert kept.text().endswith("the last")


# The process's surroundings


def test_the_interpreter_is_the_given_one_then_the_variable_s_then_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys  # noqa: PLC0415

    monkeypatch.delenv("TEMPORAL_GLIOMA_RISK_PYTHON", raising=False)
    assert interpreter_to_use(None) == sys.executable
    monkeypatch.setenv("TEMPORAL_GLIOMA_RISK_PYTHON", "/opt/python")
    assert interpreter_to_use(None) == "/opt/python"
    assert interpreter_to_use(Path("/opt/slicer")) == "/opt/slicer"


def test_the_package_is_on_the_worker_s_path_unless_it_is_installed_there() -> None:
    base = {"PYTHONPATH": "/one", "HOME": "/home"}
    own = worker_environment(base, package_parent=Path("/modules"))
    assert own["PYTHONPATH"] == "/modules:/one"
    assert own["HOME"] == "/home"
    assert worker_environment(base, package_parent=Path("/python/site-packages"))["PYTHONPATH"] == "/one"
    assert json.dumps(base) == '{"PYTHONPATH": "/one", "HOME": "/home"}'
