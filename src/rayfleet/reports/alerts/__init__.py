"""Who is told when something goes wrong: a report becomes conditions, conditions become notices, notices go out.

rules.py       what is wrong now. Pure.          book.py       since when, and what of it is said. Pure.
sink.py        the sink of the loop              outbox.py     a queue for each receiver, beside the loop
message.py     notices as texts. Pure.           receiver.py   what somebody who is told can do
addresses.py   where secrets are read            receivers.py  those who are told
"""
