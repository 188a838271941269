"""What the service takes a second, beside what its server could."""
