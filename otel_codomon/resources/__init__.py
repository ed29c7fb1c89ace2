"""What executions use: samples of their processes, threads and cgroups, and the totals."""
