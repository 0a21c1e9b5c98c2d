import pytest

pytest.register_assert_rewrite("tests.activator.scalers.contract")
