"""As decoding's tests: one thread, and the worst memory there is."""

from ..decoding.conftest import fresh_memory_is_nan, one_thread  # noqa: F401
