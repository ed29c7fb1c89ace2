"""The caches of this process: what observes them, and what others may ask of them."""
