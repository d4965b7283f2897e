"""A chain of reasons tells every sentence once, however reasons are put together."""

from itertools import permutations

import pytest

from rayfleet.model import Reason, ReasonCode, reason

A = reason(ReasonCode.UNNEEDED)
B = reason(ReasonCode.BOOTING)
C = reason(ReasonCode.IS_HEAD)


def sentences(of: Reason) -> list[str]:
    return of.text.split("; ")


def test_what_is_told_already_is_not_told_again() -> None:
    assert A.because(A) == A
    assert A.because(B).because(B) == A.because(B)
    assert A.because(B.because(A)) == A.because(B)


def test_of_a_chain_that_begins_with_what_is_told_the_rest_is_kept() -> None:
    assert sentences(A.because(A.because(B))) == [A.text, B.text]
    assert sentences(A.because(B).because(B.because(C))) == [A.text, B.text, C.text]


@pytest.mark.parametrize("order", list(permutations([A, B, C])))
def test_every_sentence_is_there_once_in_any_order(order: tuple[Reason, ...]) -> None:
    first, second, third = order
    made = first.because(second.because(third)).because(third.because(first)).because(second)
    assert sorted(sentences(made)) == sorted(x.text for x in order)


def test_other_figures_are_another_sentence() -> None:
    made = reason(ReasonCode.MAX_WORKERS, max_workers=1).because(reason(ReasonCode.MAX_WORKERS, max_workers=2))
    assert len(sentences(made)) == 2
