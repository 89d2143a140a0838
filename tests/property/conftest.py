"""One profile for all properties: bounded by examples, not by time, since a slow machine is no defect.

A hundred examples are seconds for each, which is for every test run; SPANK_CONTAINER_FUZZ=10000 is for a night.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "bounded",
    deadline=None,
    max_examples=int(os.environ.get("SPANK_CONTAINER_FUZZ", "100")),
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("bounded")
