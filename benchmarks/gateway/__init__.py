"""What the gateway passes on a second and adds to the first byte, beside a direct connection and its rivals."""
