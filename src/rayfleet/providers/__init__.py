"""Where machines come from: one folder per place. None knows another; wiring finds them by entry point."""
