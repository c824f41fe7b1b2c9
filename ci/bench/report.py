"""Format the results as a table and as JSON."""

import os
import platform
from pathlib import Path

from measure import Figure


def table(figures: list[Figure], unmeasured: dict[str, str]) -> str:
    rows = [("what", "measured", "at most", "")]
    for figure in figures:
        limit = "" if figure.limit is None else shown(figure.limit, figure.unit)
        rows.append((figure.name, shown(figure.value, figure.unit), limit, figure.verdict))
    rows += [(name, "not measured", "", why) for name, why in unmeasured.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        f"{what:{widths[0]}}  {value:>{widths[1]}}  {limit:>{widths[2]}}  {verdict}".rstrip()
        for what, value, limit, verdict in rows
    ]
    return "\n".join(lines)


def shown(value: float, unit: str) -> str:
    match unit:
        case "share":
            return f"1/{1 / value:.0f}"
        case "x":
            return f"{value:.2f} x"
        case _:
            return f"{value:.3g} {unit}" if value < 100 else f"{value:.0f} {unit}"


def as_json(figures: list[Figure], unmeasured: dict[str, str], peers: list[str]) -> dict:
    return {
        "machine": machine(),
        "peers": peers,
        "figures": [
            {
                "name": figure.name,
                "unit": figure.unit,
                "value": figure.value,
                "limit": figure.limit,
                "verdict": figure.verdict.lower() or None,
                "samples": figure.samples,
            }
            for figure in figures
        ],
        "unmeasured": unmeasured,
    }


def machine() -> dict:
    facts = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in facts.splitlines() if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
