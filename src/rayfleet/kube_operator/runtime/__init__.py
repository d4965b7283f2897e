"""All of the operator's I/O: follow the API server, reconcile what changed, carry out what is wanted."""
