"""Full messages for failing asserts of the suite, which is no test module itself."""

import pytest

pytest.register_assert_rewrite("rayfleet.testing.conformance", "rayfleet.testing.standby_conformance")
