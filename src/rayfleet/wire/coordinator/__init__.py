"""What is said between a coordinator of a shared pool of hosts and the clusters that have hosts of it.

terms    the words: a host, who holds it, what is asked for
client   the calls over HTTP
"""
