"""The simulator against the real OpenAI SDK over a socket, and its parts each for itself."""
