"""A client of the service, for scripts and for the spool."""
