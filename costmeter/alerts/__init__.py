"""Telling notices: one file a channel; a message goes out at least once, always with the one id of its notice."""
