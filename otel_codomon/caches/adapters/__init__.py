"""Read the statistics that caches keep: one adapter a file, and the registry of what is watched."""
