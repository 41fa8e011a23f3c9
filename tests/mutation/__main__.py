"""`make mutation`: changes the pure cores of the stop path, one expression at a time, and runs their unit tests.

A mutant that no test notices must be in explained.toml, with the reason why it is the same program; otherwise this
fails. It also fails where a mutant that is explained is killed, or is no more. `mutmut show NAME` shows a mutant.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.figures import write

ROOT = Path(__file__).parents[2]
MUTMUT = Path(sys.executable).with_name("mutmut")
EXPLAINED = Path(__file__).with_name("explained.toml")
#: Of Hypothesis, in pyproject.toml.
SEED = 1
#: A mutant that never ends has been noticed too.
NOTICED = ("killed", "timeout")


@dataclass(frozen=True, slots=True)
class Mutant:
    module: str
    function: str
    line: str


@dataclass(slots=True)
class Score:
    """Of one module."""

    module: str
    mutants: int = 0
    killed: int = 0
    survivors: list[Mutant] = field(default_factory=list)
    unexplained: int = 0

    @property
    def percent(self) -> float:
        """Of those that are other programs."""
        others = self.mutants - len(self.survivors) + self.unexplained
        return 100 * self.killed / others if others else 100.0


def mutmut(*words: str) -> str:
    """Its output. Hash seeds decide in which order a set gives its members."""
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run([MUTMUT, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"mutmut {' '.join(words)}:\n{done.stdout}{done.stderr}")
    return done.stdout


def modules() -> list[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]
    return [path.removesuffix(".py").replace("/", ".") for path in settings["only_mutate"]]


def explained(chosen: Collection[str]) -> set[Mutant]:
    return {
        Mutant(module, row["function"], row["mutant"])
        for module, rows in tomllib.loads(EXPLAINED.read_text()).items()
        for row in rows
        if module in chosen and row["why"]
    }


def verdicts(chosen: Collection[str]) -> dict[str, str]:
    """What became of each mutant of these modules. All are tried anew: mutmut would keep what older tests have said."""
    shutil.rmtree(ROOT / "mutants", ignore_errors=True)
    mutmut("run", *(f"{module}.*" for module in chosen))
    lines = (line.strip().rpartition(": ") for line in mutmut("results", "--all", "true").splitlines())
    return {name: verdict for name, _, verdict in lines if module_of(name) in chosen}


def module_of(name: str) -> str:
    return name.rpartition(".")[0]


def mutant(name: str) -> Mutant:
    """pitwall.domain.permit.xǁLeaseBookǁgrant__mutmut_3, or x_majority__mutmut_1, as people read it."""
    function = name.rpartition(".")[2].partition("__mutmut")[0].removeprefix("x_").removeprefix("xǁ")
    changed = [line[1:].strip() for line in mutmut("show", name).splitlines() if line.startswith("+")][1:]
    return Mutant(module_of(name), function.replace("ǁ", "."), " ".join(changed))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--module", choices=modules(), help="just this one")
    only = parser.parse_args().module
    chosen = [only] if only else modules()
    scores = {module: Score(module) for module in chosen}
    known, bad = explained(chosen), []
    for name, verdict in verdicts(chosen).items():
        score = scores[module_of(name)]
        score.mutants += 1
        if verdict in NOTICED:
            score.killed += 1
            continue
        survivor = mutant(name)
        score.survivors.append(survivor)
        if survivor not in known:
            score.unexplained += 1
            bad.append(f"{verdict}: {name}\n  {survivor.function}: {survivor.line}")
    survivors = {one for score in scores.values() for one in score.survivors}
    bad += [f"explained, but killed or gone: {one.module} {one.function}: {one.line}" for one in known - survivors]
    bad += [f"no mutants of {score.module}" for score in scores.values() if not score.mutants]
    show(scores.values())
    write(
        "mutation",
        SEED,
        ("mutmut", "hypothesis", "pytest"),
        modules=[
            {
                "module": score.module,
                "mutants": score.mutants,
                "killed": score.killed,
                "explained": len(score.survivors) - score.unexplained,
                "survivors": score.unexplained,
                "score_percent": round(score.percent, 2),
            }
            for score in scores.values()
        ],
    )
    for line in bad:
        print(line)
    return bool(bad)


def show(scores: Iterable[Score]) -> None:
    table = Table("module", "mutants", "killed", "the same program", "survivors", "score", title="mutation")
    for score in scores:
        same = len(score.survivors) - score.unexplained
        counts = (score.mutants, score.killed, same, score.unexplained)
        table.add_row(score.module, *map(str, counts), f"{score.percent:.1f} %")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
