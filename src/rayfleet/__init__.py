"""rayfleet keeps Ray clusters exactly as large as their work needs."""

__version__ = "0.1.0.dev0"
