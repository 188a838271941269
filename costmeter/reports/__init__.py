"""Answers go out: what was spent, by whom, on what. Reports only read what was posted."""
