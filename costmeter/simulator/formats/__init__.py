"""The four ways to talk to DeepSeek: chat completions, FIM completions, the responses API and Anthropic's messages."""
