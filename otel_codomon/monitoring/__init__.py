"""Ask about executions by id: the three monitor classes and what they return."""
