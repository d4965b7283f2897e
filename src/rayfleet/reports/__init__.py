"""Where tick reports go, and what people read out of them.

history.py       SQLite: reports, events, the newest state       events.py   a report as events. Pure.
status_text.py   what is now, as text                            status_json.py   ... as JSON. Both pure.
why.py           why it is so. Pure.                             log.py      one line per event
"""
