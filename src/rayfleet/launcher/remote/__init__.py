"""Clusters on other computers: this machine brings the head up, the head's controller does the rest.

    up.py     the flow of `rayfleet up`: home -> head (by the loop, head only) -> rayfleet and Ray on it -> minimums
    down.py   the controller there stops, the loop here releases everything, a listing proves it
    head.py   what `up` runs on the head: Ray, the controller, its first report
    verbs.py  every other verb: the same verb, run on the head over SSH

What they are made of: `where` (the note of where the head is), `login` (who logs in), `parts` (the loop's edges here),
`install` and `wheel` (rayfleet on the head), `openssh` (command lines for people's terminals), `gc` (orphans).
"""
