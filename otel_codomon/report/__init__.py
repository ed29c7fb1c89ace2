"""What happened: lists, one execution, reports, and what is wrong."""
