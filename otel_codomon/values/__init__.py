"""Pure values: no input or output, no clock, no OpenTelemetry."""
