"""Pricing columns of calls, against loops written for the purpose with NumPy and with polars."""
