"""Fuzzing guided by coverage: `python tests/fuzz/run.py TARGET --seconds 300`; without TARGET all in turn.

Needs `pip install atheris` (libFuzzer for Python; not in the extra `test`). It mutates the inputs in
seeds/TARGET and those it found before, in --corpus, keeps what reaches new lines of speeddata, and stops at
the first finding: an exception, an input that takes longer than 10 s, or more than 2 GiB of memory. Its input
is then in the corpus as TARGET-crash-..., -timeout-... or -oom-...; `run.py TARGET FILE` runs it alone.

A finding becomes a test with its literal bytes beside the mended code. `--keep` copies from the corpus into
seeds/TARGET what reaches new lines and is small; tests/test_fuzzing.py runs those seeds with all other tests.
What was run so far, and what came of it, is in README.md beside this file.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import subprocess
import sys
import tempfile
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent.parent), str(HERE)]

LONGEST_S = 10
MOST_MEMORY_MIB = 2048
LONGEST_INPUT = 4096
KEPT_INPUT = 600  # bytes of an input that is kept as a seed
KEPT_BYTES = 14_000  # of all seeds of a target


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("target", nargs="?", help="one of those in targets.py; all without it")
    parser.add_argument("input", nargs="?", type=Path, help="run this one input, and end")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--corpus", type=Path, help="where inputs are kept from run to run")
    parser.add_argument("--keep", action="store_true", help="do not run: add small inputs to the seeds")
    args = parser.parse_args()
    logging.disable()
    if args.input is not None:
        import targets

        targets.TARGETS[args.target](args.input.read_bytes())
        return 0
    corpus = args.corpus or Path(tempfile.gettempdir(), "speeddata-fuzz")
    if args.target is None:
        import targets

        again = [f"--seconds={args.seconds}", f"--corpus={corpus}", *(["--keep"] if args.keep else [])]
        runs = [
            subprocess.run([sys.executable, __file__, name, *again]).returncode for name in targets.TARGETS
        ]
        return max(runs)
    return _keep(args.target, corpus) if args.keep else _fuzz(args.target, corpus, args.seconds)


def _fuzz(name: str, corpus: Path, seconds: int) -> int:
    import atheris

    os.environ["FUZZ_SCRATCH"] = str(corpus / f"{name}-files")
    with redirect_stderr(StringIO()), atheris.instrument_imports(include=["speeddata"]):
        import targets
        from words import WORDS

    found, seeds = corpus / name, targets.SEEDS / name
    for each in (found, seeds):
        each.mkdir(parents=True, exist_ok=True)
    words = corpus / f"{name}.dict"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in WORDS.get(name, (b"\0",))))
    options = {
        "max_total_time": seconds,
        "timeout": LONGEST_S,
        "rss_limit_mb": MOST_MEMORY_MIB,
        "max_len": LONGEST_INPUT,
        "len_control": 10,
        "artifact_prefix": f"{found.parent}/{name}-",
        "dict": words,
        "print_final_stats": 1,
    }
    given = [sys.argv[0], str(found), str(seeds), *(f"-{key}={value}" for key, value in options.items())]
    atheris.Setup(given, targets.TARGETS[name])
    atheris.Fuzz()  # ends the process
    return 0


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _keep(name: str, corpus: Path) -> int:
    """Copy inputs that reach what no smaller one reached, by the jumps from line to line in a trace."""
    import targets

    held = targets.SEEDS / name
    held.mkdir(parents=True, exist_ok=True)
    seen: set[tuple[str, int, int]] = set()
    for each in targets.seeds(name):
        seen |= _reached(targets.TARGETS[name], each.read_bytes())
    left = KEPT_BYTES - sum(each.stat().st_size for each in targets.seeds(name))
    inputs = sorted(
        {each.read_bytes() for each in (corpus / name).iterdir()}, key=lambda data: (len(data), data)
    )
    for data in inputs:
        if len(data) > min(KEPT_INPUT, left):
            break
        if new := _reached(targets.TARGETS[name], data) - seen:
            seen |= new
            left -= len(data)
            (held / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
    print(f"{name}: {len(targets.seeds(name))} seeds, {len(seen)} jumps")
    return 0


def _reached(target: object, data: bytes) -> set[tuple[str, int, int]]:
    reached: set[tuple[str, int, int]] = set()

    def trace(frame, event, _arg):  # type: ignore[no-untyped-def]
        path = frame.f_code.co_filename
        if "/speeddata/" not in path:
            return None
        before = frame.f_lineno

        def lines(frame, event, _arg):  # type: ignore[no-untyped-def]
            nonlocal before
            reached.add((path, before, frame.f_lineno))
            before = frame.f_lineno
            return lines

        return lines

    sys.settrace(trace)
    try:
        target(data)  # type: ignore[operator]
    finally:
        sys.settrace(None)
    return reached


if __name__ == "__main__":
    sys.exit(main())
