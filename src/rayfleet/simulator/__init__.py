"""The production loop and planner on virtual time: what would a policy cost, and how long would its work wait?

trace.py, generators.py   the work                    scene.py    the pretend world, as its file describes it
place.py                  where machines come from    nodes.py    the nodes, and how Ray chooses one
cluster.py                Ray: queues, gangs, runs    agenda.py   what happens next
run.py                    drives the Reconciler       tally.py    what is measured
compare.py                policies side by side       page.py     the report that a person looks at

Nothing of the loop or the planner is written a second time: `run.py` hands a `Reconciler` this pretend provider and
engine, and calls `tick()` whenever a tick could decide something new.
"""
