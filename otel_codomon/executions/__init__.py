"""The running execution: decorator and block, its life, and what watches it."""
