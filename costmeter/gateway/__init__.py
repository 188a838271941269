"""DeepSeek's API for callers in any language: passed through byte for byte, metered, attributed and stopped."""
