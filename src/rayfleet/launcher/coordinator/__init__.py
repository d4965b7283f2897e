"""The coordinator of a shared pool of hosts: a small server that knows which cluster has which host.

    hosts file --> book (who has what; pure) --> store (one file) --> answer
                    ^
    server: take, give back, adopt, free

Nothing is taken from a cluster because of the time that passes. What a coordinator says decides who is asked for; the
lease on the host itself decides who has it (`rayfleet.providers.local.lease`).
"""
