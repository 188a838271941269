"""Files for others: exact amounts, stable order, the same bytes for the same facts."""
