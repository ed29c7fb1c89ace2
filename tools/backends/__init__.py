"""Real programs for the tests of the stack: ``make backends`` installs them."""
