"""A month of charges to CSV, from both databases, against those who write CSV for a living."""
