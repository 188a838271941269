"""What recording adds to a call: paired with the bare SDK in one process, ours and each rival in turn."""
