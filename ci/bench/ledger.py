"""Measure commands on a store with a long history, and on an empty one.

The history is inserted into the ledger directly, with the tables of artifacts/src/ledger/schema.rs, because creating it
with runs would take days.
"""

import secrets
import shutil
import sqlite3
import statistics
from contextlib import closing
from pathlib import Path

from measure import Bench, Figure, run

RUNS = 10_000
ATTEMPTS = 10
OUTPUTS = 10

LIMIT = 2

QUERIES = [
    ["plan"],
    ["plan", "--set", "search.epochs=3"],
    ["log"],
    ["explain", "search", "--set", "search.epochs=3"],
]


def measure(bench: Bench) -> list[Figure]:
    folder = bench.work / "ledger"
    folder.mkdir()
    shutil.copy(bench.source / "ci/smoke.yaml", folder / "pipeline.yaml")
    run(bench.pipeline("run", "all", "--store", "one-run"), folder)
    with closing(sqlite3.connect(folder / "one-run/ledger.sqlite3")) as ledger:
        # Checkpoint the write-ahead log, since only the database file is copied.
        ledger.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copytree(folder / "one-run", folder / "long")
    with closing(sqlite3.connect(folder / "long/ledger.sqlite3")) as ledger:
        fill(ledger)
        ledger.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    figures = []
    for query in QUERIES:
        times: dict[str, list[float]] = {"empty": [], "one-run": [], "long": []}
        for _ in range(bench.many):
            for store, samples in times.items():
                samples.append(1e3 * run(bench.pipeline(*query, "--store", store), folder).seconds)
        name = " ".join(query)
        medians = {store: statistics.median(samples) for store, samples in times.items()}
        figures += [
            Figure.median(f"{name}: empty store", "ms", times["empty"]),
            Figure.median(f"{name}: one run", "ms", times["one-run"]),
            Figure.median(f"{name}: 10,000 runs, 1,000,000 artifacts", "ms", times["long"]),
            Figure(f"{name}: times the empty store's", "x", medians["long"] / medians["empty"], LIMIT),
        ]
    return figures


def fill(ledger: sqlite3.Connection) -> None:
    """Add runs like the existing one, whose attempts have their own keys, inputs and outputs."""
    # Keep the result that the commands ask for, and add the others after it.
    ((template_run,),) = ledger.execute("SELECT id FROM runs")
    templates = [attempt for (attempt,) in ledger.execute("SELECT id FROM attempts ORDER BY id")]
    attempt = templates[-1]
    with ledger:
        for number in range(1, RUNS + 1):
            run_id = template_run + number
            later_ms = number * 10_000
            ledger.execute(ADD_RUN, {"id": run_id, "later_ms": later_ms, "template": template_run})
            before = secrets.token_bytes(32)
            for position in range(ATTEMPTS):
                attempt += 1
                parameters = {
                    "id": attempt,
                    "name": secrets.token_hex(8),
                    "run": run_id,
                    # Attempts beyond the six stages are further instances of these stages.
                    "suffix": f"@{position}" if position >= len(templates) else "",
                    "key": secrets.token_bytes(32),
                    "later_ms": later_ms,
                    "template": templates[position % len(templates)],
                }
                ledger.execute(ADD_ATTEMPT, parameters)
                ledger.execute(ADD_INPUT, (attempt, before))
                outputs = [(attempt, f"output{output}", secrets.token_bytes(32)) for output in range(OUTPUTS)]
                ledger.executemany(ADD_OUTPUT, outputs)
                before = outputs[0][2]


ADD_RUN = """
INSERT INTO runs (id, arguments, configuration, tool, source_revision, host, started_ms, ended_ms, outcome)
SELECT :id, arguments, configuration, tool, source_revision, host, started_ms + :later_ms, ended_ms + :later_ms, outcome
FROM runs WHERE id = :template
"""

ADD_ATTEMPT = """
INSERT INTO attempts (id, name, run, instance, stage, key, manifest, purpose, environment, tool, source_revision, host,
                      started_ms, used_ms, ended_ms, outcome, cause, metrics, peak_memory_bytes, cpu_ms)
SELECT :id, :name, :run, instance || :suffix, stage, :key, manifest, purpose, environment, tool, source_revision, host,
       started_ms + :later_ms, used_ms + :later_ms, ended_ms + :later_ms, outcome, cause, metrics, peak_memory_bytes,
       cpu_ms
FROM attempts WHERE id = :template
"""

ADD_INPUT = "INSERT INTO inputs (attempt, port, digest, origin) VALUES (?, 'input', ?, NULL)"

ADD_OUTPUT = "INSERT INTO outputs (attempt, name, digest, bytes) VALUES (?, ?, ?, 1000)"
