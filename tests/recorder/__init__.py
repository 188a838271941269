"""The recorder: the tap byte by byte, the spool alone, and the real OpenAI SDK over real sockets."""
