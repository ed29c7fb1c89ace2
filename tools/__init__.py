"""Programs that maintain this repository; no part of what is installed."""
