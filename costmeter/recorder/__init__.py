"""Calls come in: a tap that sees bytes and knows no HTTP library, thin transports over it, and the spool.

The recorder never raises into its caller, never changes a response, and drops nothing silently.
"""
