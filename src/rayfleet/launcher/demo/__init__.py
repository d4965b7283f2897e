"""`rayfleet demo`: a cluster of its own, three workloads of ordinary Ray programs, and times from the record."""
