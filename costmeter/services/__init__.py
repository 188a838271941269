"""What we do: one verb a file, one transaction a verb."""
