"""The back-test of the forecast: on made-up seasons and on real traces, against naive rules."""
