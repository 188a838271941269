"""Pages for people: what the reports say, drawn on the server, working without scripts."""
