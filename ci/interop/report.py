"""What was compared, and what differed."""

import numpy as np


class Report:
    """Counts comparisons by kind, and keeps what failed."""

    def __init__(self):
        self.compared = {}
        self.failures = []

    def close(self, what, found, expected, tolerance):
        """Numbers that may differ by `tolerance` times the largest of them; the difference is printed."""
        difference = np.abs(found - expected).max() / np.abs(expected).max()
        print(f"{what}: off by {difference:.1e} of the largest")
        self.count("logits", found.shape == expected.shape and difference <= tolerance, f"{what}: {difference:.1e}")

    def count(self, kind, passed, what):
        """One comparison; `what` is said where it failed."""
        self.compared[kind] = self.compared.get(kind, 0) + 1
        if not passed:
            self.failures.append(f"{kind}: {what}")

    def finish(self):
        """Prints the counts and the failures; returns the exit code."""
        for failure in self.failures:
            print(f"FAILED {failure}")
        counts = ", ".join(f"{count} {kind}" for kind, count in self.compared.items())
        print(f"interop: {counts}; {len(self.failures)} failed")
        return 1 if self.failures or not self.compared else 0
