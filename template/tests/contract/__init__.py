"""The contract tests: what callers of a Responses agent rely on.

They belong to the template, and `copier update` changes them. Put your own tests in `tests/`.
"""

import pytest

# So that its assertions work with `python -O`, too.
pytest.register_assert_rewrite(f"{__name__}.harness")
