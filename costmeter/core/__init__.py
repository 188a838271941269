"""What is true: money, time, usage, prices and the ledger's rules.

Pure: the standard library only, no input or output, no clock. A test of the house checks it.
"""
