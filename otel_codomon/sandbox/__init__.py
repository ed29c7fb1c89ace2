"""Run a command: start it, limit it, isolate it, end it, collect what it left."""
