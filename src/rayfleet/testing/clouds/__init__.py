"""Clouds without the cloud: emulators on loopback ports that the clouds' own client libraries talk to."""
