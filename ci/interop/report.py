"""Count comparisons and report differences."""

import numpy as np


class Report:
    """Counts comparisons by kind and keeps the failures."""

    def __init__(self):
        self.compared = {}
        self.failures = []

    def close(self, what, found, expected, tolerance):
        """Compare numbers that may differ by `tolerance` times the largest one, and print the difference."""
        difference = np.abs(found - expected).max() / np.abs(expected).max()
        print(f"{what}: largest relative difference {difference:.1e}")
        self.count("logits", found.shape == expected.shape and difference <= tolerance, f"{what}: {difference:.1e}")

    def count(self, kind, passed, what):
        """Count one comparison; `what` is printed if it failed."""
        self.compared[kind] = self.compared.get(kind, 0) + 1
        if not passed:
            self.failures.append(f"{kind}: {what}")

    def finish(self):
        """Print the counts and the failures, and return the exit code."""
        for failure in self.failures:
            print(f"FAILED {failure}")
        counts = ", ".join(f"{count} {kind}" for kind, count in self.compared.items())
        print(f"interop: {counts}; {len(self.failures)} failed")
        return 1 if self.failures or not self.compared else 0
