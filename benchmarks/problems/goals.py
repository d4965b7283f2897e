"""What is wanted of each case: price in parts of the bound, at once and with effort, and processor time. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rayfleet.planner.packing import THOROUGH

__all__ = ["THOROUGH", "WISHES", "Wish"]


@dataclass(frozen=True, slots=True)
class Wish:
    """`ratio`: price of the fast plan / bound, at most; `cpu_s` of it; `thorough`: the ratio with effort."""

    ratio: float
    cpu_s: float
    thorough: float | None = None


WISHES: Final[dict[str, Wish]] = {
    "homog_1000_t50": Wish(1.001, 0.010),
    "homog_100000_t50": Wish(1.001, 0.010),
    "homog_10000_t500": Wish(1.001, 0.010),
    "mix10_1000_t50": Wish(1.01, 0.045),
    "mix100_1000_t50": Wish(1.08, 0.045, 1.04),
    "mix100_1000_t50_s2": Wish(1.08, 0.045, 1.04),
    "mix100_1000_t50_s3": Wish(1.08, 0.045, 1.04),
    "mix100_10000_t50": Wish(1.01, 0.025),
    "mix100_100000_t50": Wish(1.01, 0.050),
    "cpu100_1000_t50": Wish(1.08, 0.045, 1.04),
    "mix100_1000_t5": Wish(1.05, 0.050, 1.04),
    "mix100_10000_t5": Wish(1.05, 0.050, 1.01),
    "mix100_10000_t500": Wish(1.01, 0.100),
    "sel100_1000_t50": Wish(1.08, 0.080, 1.04),
    "sel100_10000_t50": Wish(1.02, 0.080),
    "sel100_10000_t500": Wish(1.02, 0.100),
    "mix10_200_t500": Wish(1.06, 0.045),
    "mix1000_10000_t50": Wish(1.08, 1.2),
    "gang_strictpack8gpu_x20": Wish(1.001, 0.010),
    "gang_pack256_x4": Wish(1.001, 0.010),
    "gang_spread64_x10": Wish(1.001, 0.010),
    "gang_strictspread8_x20": Wish(1.001, 0.010),
    "gang_strictspread64_x4": Wish(1.001, 0.010),
    "gang_strictspread256_x1": Wish(1.001, 0.010),
    "gang_mixed_x40_tasks2000": Wish(1.03, 0.050),
    "mix10_1000_t50_ex100": Wish(1.02, 0.060),
    "mix10_1000_t50_ex1000": Wish(1.02, 0.060),
    "mix10_1000_t50_ex5000": Wish(1.025, 0.100),
    "mix100_10000_t50_ex1000": Wish(1.02, 0.060),
    "idle_t50_ex1000": Wish(1.0, 0.010),
    "ray64175_prod": Wish(1.001, 0.025),
    "ray65282_3000n": Wish(1.001, 0.010),
}
