"""Run the project's tests of networks and ranks on this device."""

import re

from programs import Failed, Programs, Skipped, TookTooLong


def derived(programs: Programs) -> dict:
    """Run the golden cases of the derived network."""
    return cases(programs, "golden_derived")


def supernet(programs: Programs) -> dict:
    """Run the golden cases of the supernet."""
    return cases(programs, "golden_supernet")


def cases(programs: Programs, name: str) -> dict:
    """Return each case's largest differences from the authors' f64 results; the tolerances are those of a CPU."""
    try:
        printed = programs.run(name, "--nocapture", limit_s=180)
    except TookTooLong:
        raise
    except Failed as failed:
        # Find out how large the differences are.
        printed = programs.run(name, "--nocapture", TFNAS_TEST_TOLERANCE_FACTOR="1000")
        raise Failed(f"{str(failed)[-400:]}\nwith 1000 times the tolerances: {lines(printed)}") from None
    return {"cases": lines(printed)}


def lines(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if re.search(r"\de-\d\d?|\d+ cases", line)]


def passed(printed: str) -> dict:
    found = re.findall(r"test result: ok\. (\d+) passed", printed)
    if found == [] or found == ["0"]:
        raise Failed(printed[-2000:])
    return {"tests": int(found[-1]), "said": [line for line in printed.splitlines() if "SKIPPED" in line]}


def mixed_precision(programs: Programs) -> dict:
    """Test training and search in bf16 and f16 with a gradient scaler."""
    return passed(programs.run("mixed_precision", "--nocapture", "--test-threads=1"))


def two_ranks_by_gloo(programs: Programs) -> dict:
    """Test that two gloo ranks on one device train the same network as one process."""
    return passed(programs.run("data_parallel", "--nocapture", "--test-threads=1"))


def one_rank_by_nccl(programs: Programs) -> dict:
    """Test the collectives and the reducer with NCCL."""
    if not programs.is_cuda:
        raise Skipped("NCCL needs a GPU")
    found = passed(programs.run("processes", "--nocapture", "collectives::nccl_collectives_work_on_a_gpu"))
    if found["said"]:
        raise Failed(str(found["said"]))
    return found
