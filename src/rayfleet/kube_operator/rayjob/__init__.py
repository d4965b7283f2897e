"""RayJob -> a cluster, a job on it, and what remains of both."""
