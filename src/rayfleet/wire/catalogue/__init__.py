"""Sizes and prices of the clouds' machines: dated tables that come with rayfleet, and what was refreshed lately."""
