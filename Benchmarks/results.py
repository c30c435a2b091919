"""What a benchmark found, and how it is shown."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path

from measuring import Series


@dataclass(frozen=True)
class Budget:
    """A bound, and what was measured against it. `ratio` is measured to bound, so "at most" is met up to 1."""

    text: str
    measured: float
    bound: float
    unit: str = "times"
    at_least: bool = False

    @property
    def ratio(self) -> float:
        return self.measured / self.bound if self.bound else float(self.measured > 0)

    @property
    def is_met(self) -> bool:
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    def __str__(self) -> str:
        verdict = "met" if self.is_met else "NOT MET"
        return f"{self.text}: {quantity(self.measured, self.unit)}: {verdict} ({self.ratio:.2f} of the bound)"

    def described(self) -> dict[str, object]:
        return {
            "text": self.text,
            "unit": self.unit,
            "measured": self.measured,
            "bound": self.bound,
            "kind": "at-least" if self.at_least else "at-most",
            "ratio": round(self.ratio, 4),
            "met": self.is_met,
        }


@dataclass
class Result:
    """One benchmark's outcome; `skipped` says why there is none."""

    name: str
    about: str = ""
    series: list[Series] = field(default_factory=list)
    budgets: list[Budget] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    values: dict[str, object] = field(default_factory=dict)
    """What is not a duration, for the file."""
    skipped: str = ""
    failed: str = ""

    def described(self) -> dict[str, object]:
        return {
            "name": self.name,
            "about": self.about,
            "skipped": self.skipped or None,
            "failed": self.failed or None,
            "runs": [
                {
                    "label": series.label,
                    "rounds": len(series.runs),
                    "wall_seconds": round(series.wall, 6),
                    "wall_seconds_all": [round(run.wall, 6) for run in series.runs],
                    "cpu_seconds": round(series.cpu, 6),
                    "peak_rss_bytes": series.peak_rss,
                    "bytes_per_second": None if series.rate is None else round(series.rate),
                }
                for series in self.series
            ],
            "budgets": [budget.described() for budget in self.budgets],
            "notes": self.notes,
            "values": self.values,
        }


def quantity(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 1e6:.1f} MB" if value >= 1e5 or value == 0 else f"{value:.0f} B"
    if unit == "seconds":
        return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"
    if unit == "times":
        return f"{value:.2f} x"
    return f"{value:.4g} {unit}"


def table(results: list[Result]) -> str:
    """One table for all; budgets and notes stand below the rows they belong to."""
    header = ("PROGRAM", "WALL", "CPU", "PEAK RSS", "RATE")
    rows: list[tuple[str, ...] | str] = [header]
    for result in results:
        rows.append(f"{result.name}: {result.about}" if result.about else result.name)
        for series in result.series:
            rate = "" if series.rate is None else f"{series.rate / 1e9:.2f} GB/s"
            cost = (quantity(series.wall, "seconds"), quantity(series.cpu, "seconds"))
            rows.append((series.label, *cost, quantity(series.peak_rss, "bytes"), rate))
        rows += [f"    budget  {budget}" for budget in result.budgets]
        rows += [f"    note    {note}" for note in result.notes]
        if result.skipped:
            rows.append(f"    SKIPPED {result.skipped}")
        if result.failed:
            rows.append(f"    FAILED  {result.failed}")
    cells = [row for row in rows if not isinstance(row, str)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = []
    for row in rows:
        if isinstance(row, str):
            lines.append(row)
            continue
        aligned = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]
        lines.append("     " + "  ".join(aligned).rstrip())
    return "\n".join(lines)


def filesystem_of(path: Path) -> str:
    """The type of the file system a path is on."""
    place, found = os.path.realpath(path), ("?", "")
    with open("/proc/self/mountinfo") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            mount = before.split()[4].encode().decode("unicode_escape")
            if (place + "/").startswith(mount.rstrip("/") + "/") and len(mount) >= len(found[1]):
                found = (after.split()[0], mount)
    return found[0]


def machine(folder: Path) -> dict[str, object]:
    fields: dict[str, str] = {}
    with open("/proc/cpuinfo") as file:
        for line in file:
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
    flags = fields.get("flags", fields.get("Features", "")).split()
    return {
        "cpu": fields.get("model name", platform.machine()),
        "cores": len(os.sched_getaffinity(0)),
        "sha_instructions": "sha_ni" in flags or "sha2" in flags,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "filesystem": filesystem_of(folder),
        "load_average": os.getloadavg()[0],
    }


def machine_line(facts: dict[str, object]) -> str:
    sha = "with" if facts["sha_instructions"] else "without"
    loads = f"{facts['load_average']:.1f} at the start, {facts['load_average_at_the_end']:.1f} at the end"
    return (
        f"{facts['cpu']}, {facts['cores']} cores, {sha} SHA instructions, {int(facts['memory_bytes']) / 1e9:.0f} GB; "
        f"Linux {facts['kernel']}, {facts['filesystem']}; load {loads}"
    )


def write(path: Path, results: list[Result], facts: dict[str, object], version: str, is_quick: bool) -> None:
    document = {
        "schema": "hfjanitor.benchmarks/1",
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "program": version,
        "quick": is_quick,
        "machine": facts,
        "benchmarks": [result.described() for result in results],
    }
    path.write_text(json.dumps(document, indent=2) + "\n")
