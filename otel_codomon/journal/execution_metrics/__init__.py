"""The metrics of executions, made from their ends: each execution counts exactly once.

An end is a record on disk, whatever becomes of its process. The elected sender
adds the ends up, per service, and writes the sums and how far it has read in one
atomic step. So a sender that is killed leaves either both as they were, and the
next one adds the same ends, or neither. `counting` reads and keeps, `sums` adds,
`points` makes OTLP of it; `state` is the file.
"""
