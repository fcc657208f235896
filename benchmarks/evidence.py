"""Keep what a figure rests on: commit, command, resolved config, log, scores and weights hash, in docs/evidence/NAME.

    python benchmarks/evidence.py runs/multi30k-en-de-tiny multi30k-en-de-tiny --command "clearhead train ..."
    python benchmarks/evidence.py runs/compare ladder --command "clearhead compare ..."

Of the folder of a comparison the report is kept, and each of its runs. The commit is that of the folder this is called
in. Sentences are left out of logs and reports: they are of corpora whose licence is not ours to pass on. The weights
themselves stay in the run folder; their sha256 says which they were.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from pathlib import Path

from clearhead.device import processor_flags, processor_name
from clearhead.reporting.comparison_text import comparison_markdown
from clearhead.runs.log import read_log

EVIDENCE = Path(__file__).parent.parent / "docs" / "evidence"


def keep(run: Path, name: str, commands: list[str]) -> Path:
    """Write the evidence of ``run`` and return its folder."""
    folder = EVIDENCE / name
    uncommitted = _git("status", "--porcelain").splitlines()
    folder.mkdir(parents=True, exist_ok=True)
    config = (run / "run.toml").read_text(encoding="utf-8")
    corpora = os.environ.get("CLEARHEAD_DATA")  # where they lie is this machine's affair
    config = config.replace(f'"{corpora}/', '"$CLEARHEAD_DATA/') if corpora else config
    (folder / "run.toml").write_text(config, encoding="utf-8")
    with open(folder / "log.jsonl", "w", encoding="utf-8") as file:
        for event in read_log(run / "log.jsonl"):
            event.pop("samples", None)
            file.write(json.dumps(event, ensure_ascii=False) + "\n")
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    about = {
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted": uncommitted,
        "commands": commands,
        "machine": {
            "processor": processor_name(),
            "features": sorted(flag for flag in processor_flags() if flag.startswith(("amx", "avx"))),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "files": manifest,
        "evaluations": {
            path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(run.glob("evaluations/*.json"))
        },
    }
    (folder / "evidence.json").write_text(json.dumps(about, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return folder


def keep_comparison(out: Path, name: str, commands: list[str]) -> Path:
    """Write the evidence of the comparison in ``out`` and of its runs, and return its folder."""
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    for run in report["runs"]:
        run.pop("translations", None)
        keep(out / run["name"], f"{name}/{run['name']}", commands)
    report["samples"] = []
    (EVIDENCE / name / "report.json").write_text(json.dumps(report, ensure_ascii=False) + "\n", encoding="utf-8")
    (EVIDENCE / name / "report.md").write_text(comparison_markdown(report, "en"), encoding="utf-8")
    return EVIDENCE / name


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--command", action="append", required=True, help="what made the run; repeatable")
    arguments = parser.parse_args()
    keeper = keep_comparison if (arguments.run / "report.json").exists() else keep
    print(keeper(arguments.run, arguments.name, arguments.command))


if __name__ == "__main__":
    main()
