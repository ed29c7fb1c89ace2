"""What has been recorded is on disk before the call returns, and is sent when somebody listens."""
