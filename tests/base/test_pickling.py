"""Objects that are pickled as the arguments that made them."""

import copy
import inspect
import pickle

from facegeo.base.pickling import MadeAnew


class Engine(MadeAnew):
    """Holds what cannot be pickled."""

    def __init__(self, name: str, *, threads: int = 1) -> None:
        self.name, self.threads = name.upper(), threads
        self.handle = lambda: None


class Faster(Engine):
    """Has arguments of its own."""

    def __init__(self, factor: float = 2) -> None:
        super().__init__("faster", threads=4)
        self.factor = factor


class Louder(Engine):
    """Takes more than its base."""

    def __init__(self, name: str, /, volume: int = 1, **options: int) -> None:
        super().__init__(name, **options)
        self.volume = volume


def test_the_copy_is_made_by_the_same_arguments():
    for made in (
        pickle.loads(pickle.dumps(Engine("a", threads=3))),
        copy.copy(Engine("a", threads=3)),
    ):
        assert (made.name, made.threads) == ("A", 3)
        assert made.handle() is None


def test_derived_classes_are_made_by_their_own_arguments():
    faster = pickle.loads(pickle.dumps(Faster(3)))
    assert isinstance(faster, Faster) and (faster.factor, faster.threads) == (3, 4)
    louder = pickle.loads(pickle.dumps(copy.copy(Louder("b", 5, threads=2))))
    assert (louder.name, louder.volume, louder.threads) == ("B", 5, 2)


def test_the_signature_is_that_of_init():
    assert list(inspect.signature(Engine).parameters) == ["name", "threads"]
