"""Zero-code instrumentation: the instrumentor and one file for each thing it hooks."""
