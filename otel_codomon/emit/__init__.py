"""Turn values into signals, through the OpenTelemetry API only."""
