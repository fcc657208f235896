import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clearhead.data.randomness import derive_seed, generator

KEYS = st.tuples(st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=3).map(tuple))


@given(KEYS, KEYS)
def test_seeds_fit_torch_and_differ_whenever_their_keys_do(one, other):
    a, b = (derive_seed(seed, purpose, *numbers) for seed, purpose, numbers in (one, other))
    assert 0 <= a < 2**63
    assert (a == b) == (one == other)


def test_a_seed_is_the_same_on_every_machine_and_version():
    assert derive_seed(1, "order", 0) == 8316936572335140939
    assert derive_seed(1, "dropout", 3, 4) == 407738697836874407


def test_numpy_and_python_integers_give_the_same_seed():
    assert derive_seed(np.int64(1), "order", np.int32(7)) == derive_seed(1, "order", 7)


def test_a_generator_starts_anew_from_its_key():
    assert generator(1, "order", 2).permutation(50).tolist() == generator(1, "order", 2).permutation(50).tolist()
    assert generator(1, "order", 2).permutation(50).tolist() != generator(1, "order", 3).permutation(50).tolist()
