"""Protocols that several rooms above speak: no decisions are made here."""
