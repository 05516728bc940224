"""Coverage-guided fuzzing of every reader with atheris: ``python run_fuzzing.py [--seconds 60] [READER ...]``.

Run by ``make fuzz``. Each reader runs in a process of its own; what breaks one is kept in finds/ beside this file,
where the tests replay it. ``--record FILE`` keeps, for each reader, how often and how long it ran and what was found.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

REQUIREMENT = "atheris>=2.3,<4"
NAMES = (
    *("nifti", "nrrd", "metaimage", "table", "sessions", "scans", "dicom", "participants", "names", "bids"),
    *("result", "model", "truth", "training", "checkpoint", "cache", "message"),
)
LOADS_TORCH = ("model", "training", "checkpoint")
FINDS = Path(__file__).with_name("finds")
MEMORY = Path("/dev/shm")
MOST_BYTES, SECONDS_EACH, MEGABYTES = 20_000, 10, 4096


def main() -> int:
    """Fuzz the readers asked for; 1 if one of them broke, or if atheris can't be had."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="for each reader (default %(default)s)")
    parser.add_argument("--record", type=Path, metavar="FILE", help="JSON to write the run's figures to, or add them")
    parser.add_argument("--inside", choices=NAMES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        return fuzz(arguments.inside, arguments.seconds, arguments.folder)
    if not set(arguments.readers) <= set(NAMES):
        parser.error(f"readers are {', '.join(NAMES)}")
    if importlib.util.find_spec("atheris") is None:
        install = [sys.executable, "-m", "pip", "install", "-q", "--only-binary", ":all:", REQUIREMENT]
        if subprocess.run(install, stderr=subprocess.DEVNULL, check=False).returncode:
            version = ".".join(map(str, sys.version_info[:2]))
            sys.stderr.write(f"fuzz: there is no build of atheris for Python {version} on this system.\n")
            return 1
    broken = []
    for name in arguments.readers or NAMES:
        sys.stderr.write(f"fuzz: {name}, {arguments.seconds} s\n")
        with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
            command = [sys.executable, __file__, "--inside", name, "--seconds", str(arguments.seconds)]
            command += ["--folder", folder]
            finished = subprocess.run(command, capture_output=True, text=True, check=False)
        words = (finished.stdout + finished.stderr).splitlines()
        done = [line for line in words if line.startswith("Done ")]
        if finished.returncode:
            broken.append(name)
            sys.stderr.write("\n".join(words[-40:]) + "\n")
        sys.stderr.write(f"fuzz: {name}: {done[-1] if done else f'stopped with status {finished.returncode}'}\n")
        if arguments.record is not None:
            record(arguments.record, name, words, broke=bool(finished.returncode))
    sys.stderr.write(f"fuzz: {f'broke {chr(44).join(broken)}; see finds/' if broken else 'no reader broke'}\n")
    return int(bool(broken))


def record(path: Path, name: str, words: list[str], *, broke: bool) -> None:
    """Add one reader's figures to a file of the runs.

    Args:
        path: JSON, made if it is not there.
        name: Of the reader.
        words: Lines that its process wrote.
        broke: Whether this run found something.
    """
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    done = [found for line in words if (found := re.fullmatch(r"Done (\d+) runs in (\d+) second\(s\)", line))]
    seen = [int(found[1]) for line in words if (found := re.match(r"#(\d+)\s", line))]
    covered = [int(found[1]) for line in words if (found := re.search(r" cov: (\d+) ", line))]
    content[name] = {
        "executions": int(done[-1][1]) if done else max(seen, default=0),
        "seconds": int(done[-1][2]) if done else None,
        "edges_covered": max(covered, default=None),
        "broke": broke,
        "finds_kept": sum(1 for _ in (FINDS / name).glob("*")),
        "machine": {
            "python": platform.python_version(),
            "atheris": importlib.metadata.version("atheris"),
            "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
        },
    }
    ordered = {known: content[known] for known in NAMES if known in content}
    path.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


def fuzz(name: str, seconds: int, folder: Path) -> int:
    """Fuzz one reader in this process, which atheris ends; files lie in a folder that the caller removes."""
    import atheris  # noqa: PLC0415

    warnings.simplefilter("ignore")
    work = folder / "work"
    work.mkdir()
    with atheris.instrument_imports(include=["TemporalGliomaRisk", "pydicom", "csv"]):
        spec = importlib.util.spec_from_file_location("fuzz_readers", Path(__file__).with_name("fuzz_readers.py"))
        sys.modules["fuzz_readers"] = readers = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(readers)
        given = list(readers.seeds(name))
        readers.replay(name, work, given[0])  # imports what is imported late, so that it is instrumented and not timed
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, content in enumerate(given):
        (corpus / str(number)).write_bytes(content)
    for path in (readers.FINDS / name).glob("*"):
        (corpus / path.name).write_bytes(path.read_bytes())
    finds = readers.FINDS / name
    finds.mkdir(parents=True, exist_ok=True)
    if name in LOADS_TORCH:
        # With torch loaded libFuzzer's alarm ends the process before a find is written; the time of all bounds it.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    options = [f"-max_total_time={seconds}", f"-timeout={SECONDS_EACH}", f"-rss_limit_mb={MEGABYTES}"]
    options += [f"-max_len={MOST_BYTES}", f"-artifact_prefix={finds}/", "-print_final_stats=0", str(corpus)]
    atheris.Setup([sys.argv[0], *options], lambda content: readers.replay(name, work, content))
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
