"""Where claims, back-offs and orders survive a restart of the controller.

`sqlite` is the default; `memory` is for tests, simulations and clusters that end with their process.
Both hold what `rayfleet.contracts.ledger` describes; the loop is the only writer of claims.
"""
