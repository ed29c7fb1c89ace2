"""Look at the world and return values: processes, cgroups, threads, host, caches."""
