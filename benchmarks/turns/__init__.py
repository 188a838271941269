"""The same work in several processes, each in its own venv, done in turn: so ratios are of paired rounds."""
