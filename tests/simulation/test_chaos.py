"""Under every mix of faults: nothing is launched twice, nothing leaks, and all work is done in the end.

`make chaos` runs hours of dense faults for many seeds; a seed that fails prints the command that repeats it.
"""

import pytest
from tests.simulation.mixes import REPEAT, chaos, wrong_with

QUICK_SEEDS = range(8)
LONG_SEEDS = range(100, 140)


@pytest.mark.parametrize("seed", QUICK_SEEDS, ids=lambda seed: f"seed{seed}")
def test_half_an_hour_of_faults(seed: int) -> None:
    wrong = wrong_with(chaos(seed, hours=0.5))
    assert not wrong, [*wrong, REPEAT.format(seed=seed)]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", LONG_SEEDS, ids=lambda seed: f"seed{seed}")
def test_four_hours_of_faults(seed: int) -> None:
    wrong = wrong_with(chaos(seed, hours=4))
    assert not wrong, [*wrong, REPEAT.format(seed=seed)]
