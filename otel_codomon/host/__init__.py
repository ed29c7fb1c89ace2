"""The host and this process: samples, rates and metrics."""
