"""What happens now: running executions and the host, sample after sample."""
