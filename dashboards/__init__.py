"""What Grafana and Prometheus are given: dashboards as code, and what builds them. It is no part of the package."""
