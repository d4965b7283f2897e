"""The API server of Kubernetes: objects, calls and their errors, a cache that follows it, a queue of work."""
