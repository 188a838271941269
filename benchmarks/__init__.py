"""The benchmarks: each row is a ratio measured in one run against a named rival, with equal results."""
