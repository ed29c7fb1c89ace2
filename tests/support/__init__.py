"""What several tests need: real peers and real programs."""

from __future__ import annotations
