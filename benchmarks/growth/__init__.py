"""What ten million stored calls cost the next one, and the month's report."""
