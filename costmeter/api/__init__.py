"""The service: HTTP over the services and reports, thin."""
