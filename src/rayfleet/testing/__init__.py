"""The public kit for tests: programmable fakes of every contract and the suites that implementations must pass.

Each part is a module of its own, so that the parts that need pytest are only imported by tests:
`rayfleet.testing.fake_provider`, `rayfleet.testing.conformance`, ...
"""
