"""Percentiles of a network among random ones."""

import random
import statistics

RESAMPLES = 2000


def percentiles(network: dict, others: list[dict]) -> dict:
    """Return the percentage of random networks that are worse, by test loss and by top-1: counted, and from a fitted normal
    distribution with a 95 % bootstrap interval."""
    return {
        "loss": of(-network["loss"], [-other["loss"] for other in others]),
        "top1": of(network["top1"], [other["top1"] for other in others]),
    }


def of(value: float, others: list[float]) -> dict:
    """Return the percentiles of a value for which larger is better."""
    worse = sum(1.0 if other < value else 0.5 if other == value else 0.0 for other in others)
    generator = random.Random(0)
    resampled = sorted(fitted(value, generator.choices(others, k=len(others))) for _ in range(RESAMPLES))
    low, high = resampled[int(0.025 * RESAMPLES)], resampled[int(0.975 * RESAMPLES) - 1]
    return {"counted": 100 * worse / len(others), "fitted": fitted(value, others), "interval": [low, high]}


def fitted(value: float, others: list[float]) -> float:
    """Return the percentile in a normal distribution with the mean and standard deviation of the others."""
    deviation = statistics.stdev(others)
    if deviation == 0:
        return 50.0
    return 100 * statistics.NormalDist(statistics.mean(others), deviation).cdf(value)


def spread(values: list[float]) -> str:
    """Format mean, standard deviation and range."""
    return f"{statistics.mean(values):.3f} (sd {statistics.stdev(values):.3f}, {min(values):.3f} to {max(values):.3f})"
