"""What the worker can do once everything is loaded, with all that it keeps from one request to the next."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from TemporalGliomaRisk.bundle import CALIBRATION, CARD, INFERENCE, METADATA, ORDER, SUMS, WEIGHTS, RiskModel
from TemporalGliomaRisk.bundle_doubt import DOUBT, DOUBT_TENSORS, SANITY
from TemporalGliomaRisk.device import choose_device
from TemporalGliomaRisk.files import hashes_remembered, sha256_of
from TemporalGliomaRisk.progress import ProgressEvent, ProgressListener
from TemporalGliomaRisk.resources import DEFAULT_MODEL, resource_path
from TemporalGliomaRisk.results import RISK
from TemporalGliomaRisk.run import load_model, read_inputs, run_check, run_prediction, run_registration
from TemporalGliomaRisk.visit_cache import default_folder
from TemporalGliomaRisk.worker.finished_runs import FinishedRun, FinishedRuns, files_of, key_of
from TemporalGliomaRisk.worker.messages import Message
from TemporalGliomaRisk.worker.requests import check_asked, predict_asked, register_asked
from TemporalGliomaRisk.worker.warm_cache import WarmVisitCache

MOST_MODELS = 3
FILES = (SUMS, METADATA, INFERENCE, CALIBRATION, CARD, WEIGHTS, ORDER, DOUBT, DOUBT_TENSORS, SANITY)


class Work:
    """Models, encoded visits and finished runs, kept from one request to the next."""

    def __init__(self) -> None:
        self._models: dict[str, RiskModel] = {}
        self._cache = WarmVisitCache(folder=default_folder())
        self._finished = FinishedRuns()

    def model(self, folder: Path | None) -> RiskModel:
        """The model of a folder, loaded once for as long as its files stay what they are."""
        chosen = resource_path(DEFAULT_MODEL) if folder is None else folder
        key = "|".join([str(chosen), *(sha256_of(chosen / name) for name in FILES if (chosen / name).is_file())])
        if key not in self._models:
            self._models = dict(list(self._models.items())[-(MOST_MODELS - 1) :])
            self._models[key] = load_model(chosen)
        return self._models[key]

    def load_for(self, message: Message) -> None:
        """Load what only some requests need: a step of seconds in which nothing can look for a cancel."""
        options = message.get("options")
        if isinstance(options, dict) and options.get("scene") is True:
            with contextlib.suppress(Exception):  # told when the request runs, however the libraries are broken
                import TemporalGliomaRisk.scene.export  # noqa: F401, PLC0415

    def predict(self, message: Message, progress: ProgressListener) -> dict[str, Any]:
        """Predict, or find that it has been done; the content of the ``result``."""
        began = time.perf_counter()
        asked = predict_asked(message)
        request = asked.request
        with hashes_remembered():
            progress(ProgressEvent(stage="read", fraction=0.0, message="Reading the timeline"))
            model = self.model(asked.model)
            inputs = read_inputs(request)
            key = key_of(request, inputs, model, choose_device(request.device)[0].type) if asked.cache else None
            known = None if key is None else self._finished.reuse(key, request.output)
        if known is not None:
            run, reuse = known
            progress(ProgressEvent(stage="write", fraction=1.0, message="Known from before"))
            return {**run.answer, "output": str(request.output), "reuse": reuse, "seconds": _since(began)}
        prediction = run_prediction(
            request, model, inputs=inputs, cache=self._cache if asked.cache else None, progress=progress
        )
        record = json.loads((request.output / RISK).read_text(encoding="utf-8"))
        files = files_of(request.output, record, scene=request.scene)
        answer = {
            "request": "predict",
            "output": str(request.output),
            "files": files,
            "device": prediction.device,
            "reuse": "computed",
            "notes": [finding.to_json() for finding in prediction.findings],
        }
        # A GPU that failed is asked again the next time.
        if key is not None and not any(finding.code == "gpu_failed" for finding in prediction.findings):
            hashes = {name: sha256_of(request.output / name) for name in files}
            self._finished.remember(key, FinishedRun(folder=request.output, files=hashes, answer=answer))
        return {**answer, "seconds": _since(began)}

    def register(self, message: Message, progress: ProgressListener) -> dict[str, Any]:
        """Bring the visits onto the first; the content of the ``result``."""
        began = time.perf_counter()
        asked = register_asked(message)
        content = run_registration(asked.request, self.model(asked.model), progress=progress)
        return {"request": "register", "registration": content, "seconds": _since(began)}

    def check(self, message: Message, progress: ProgressListener) -> dict[str, Any]:
        """Check; the content of the ``result``."""
        began = time.perf_counter()
        asked = check_asked(message)
        content = run_check(
            asked.timeline,
            patient=asked.patient,
            trained_gaps_days=self.model(asked.model).trained_gaps_days,
            alignment=asked.alignment,
            progress=progress,
        )
        return {"request": "check", "check": content, "seconds": _since(began)}


def _since(began: float) -> float:
    return round(time.perf_counter() - began, 3)
