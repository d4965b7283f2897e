"""Problems for tests of packing: those of the benchmarks, and random ones."""

import numpy as np
from benchmarks.problems.cases import STANDING, case
from benchmarks.problems.model import Case, Shape
from benchmarks.problems.ours import snapshot_of
from hypothesis import strategies as st

from rayfleet.model import ANYWHERE, DemandKind, Offer, Policy, Pool, Resources, Snapshot
from rayfleet.planner.draft import Draft
from rayfleet.planner.layout import Layout
from rayfleet.planner.market import variants
from rayfleet.planner.packing.problem import Problem, Wanted, problem_of
from rayfleet.planner.room import Room
from rayfleet.planner.work import Source, item, items, terms_of


def problem_of_case(of: Case) -> Problem:
    """Return the tasks of a case as a problem."""
    snapshot = snapshot_of(of)
    draft = Draft(snapshot, snapshot.policy)
    layout = Layout.of(draft, snapshot.demand)
    pieces = items(layout.terms, DemandKind.TASKS, snapshot.demand.tasks)
    wanted = [Wanted(piece, piece.selectors[0], piece.left) for piece in pieces]
    problem = problem_of(wanted, layout.variants, layout.room, prefer_many=False)
    assert problem is not None
    return problem


WITH_TASKS = [name for name in STANDING if case(name).shapes]


def smaller(of: Case) -> Case:
    """Return a case with a tenth of the shapes, and at most 40 tasks of each."""
    some = of.shapes[:: max(1, len(of.shapes) // 12)]
    return Case(of.name, of.types, tuple(Shape(s.resources, min(40, s.count), s.selector) for s in some))


def standing(name: str) -> Problem:
    """Return the tasks of a case of the standing set."""
    return problem_of_case(case(name))


amounts = st.fixed_dictionaries(
    {"CPU": st.sampled_from([0.5, 1, 2, 3, 4, 7, 16])},
    optional={"memory": st.sampled_from([1e9, 3e9, 7.5e9, 64e9]), "GPU": st.sampled_from([0.25, 1, 4])},
)
machines = st.fixed_dictionaries(
    {"CPU": st.sampled_from([2, 4, 16, 48])},
    optional={"memory": st.sampled_from([8e9, 64e9, 256e9]), "GPU": st.sampled_from([1, 8])},
)


@st.composite
def problems(draw: st.DrawFn) -> Problem | None:
    """Draw a small problem: pools of one or two hosts, with and without limits."""
    pools = tuple(
        Pool(
            f"p{number}",
            Resources.of(draw(machines)),
            max_workers=draw(st.sampled_from([None, None, 3, 20])),
            hosts_per_replica=draw(st.sampled_from([1, 1, 2])),
            offers=(Offer(draw(st.sampled_from([None, 0.0, 0.1, 0.7, 3.0]))),),
        )
        for number in range(draw(st.integers(1, 4)))
    )
    usd = draw(st.sampled_from([None, None, 5.0]))
    policy = Policy(pools=pools, max_workers=draw(st.sampled_from([None, 10])), max_usd_per_hour=usd)
    draft = Draft(Snapshot(policy=policy), policy)
    shapes = draw(st.lists(amounts.map(Resources.of), min_size=1, max_size=6, unique_by=str))
    counts = [draw(st.sampled_from([1, 2, 5, 40])) for _ in shapes]
    names = sorted({name for shape in shapes for name in shape})
    terms = type(terms_of(draft.snapshot.demand, policy))(tuple(names), frozenset())
    wanted = [
        Wanted(item(terms, DemandKind.TASKS, shape, (), [Source(n, None, count)]), ANYWHERE, count)
        for n, (shape, count) in enumerate(zip(shapes, counts, strict=True))
    ]
    return problem_of(wanted, variants(draft, terms), Room.of(draft), prefer_many=draw(st.booleans()))


def same(one: object, other: object) -> bool:
    """Compare two tuples of arrays and numbers."""
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))  # type: ignore[call-overload]  # tuples
