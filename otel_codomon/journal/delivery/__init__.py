"""From the journal to the collector: one elected sender, one queue for each signal."""
