"""OpenTelemetry traces over OTLP/HTTP as usage events."""
