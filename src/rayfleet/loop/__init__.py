"""observe -> plan -> act -> report: the only control loop. Purity ends here.

Reconciler    the loop                      Parts, Cadence   what it is made from
observe.py    the edges -> Snapshot         join.py          its pure heart
act.py        Plan -> calls -> Outcomes     fanout.py        TickReport -> sinks
watch.py      what wakes it early           deadlines.py     when it must wake by itself
poller.py     one question at a time        clock_steps.py   the machine's clock is set back
"""

from rayfleet.loop.clock import SystemClock
from rayfleet.loop.fanout import EngineSink, Fanout
from rayfleet.loop.parts import Cadence, Parts, close_parts
from rayfleet.loop.reconciler import Reconciler

__all__ = ["Cadence", "EngineSink", "Fanout", "Parts", "Reconciler", "SystemClock", "close_parts"]
