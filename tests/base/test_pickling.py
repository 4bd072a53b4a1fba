"""Objects that are pickled as the arguments that made them."""

import copy
import pickle

from facegeo.base.pickling import MadeAnew


class Engine(MadeAnew):
    """Holds what cannot be pickled."""

    def __init__(self, name: str, *, threads: int = 1) -> None:
        self._remember(locals())
        self.name, self.threads = name.upper(), threads
        self.handle = lambda: None


class Faster(Engine):
    """Has arguments of its own."""

    def __init__(self, factor: float = 2) -> None:
        super().__init__("faster", threads=4)
        self._remember(locals())
        self.factor = factor


def test_the_copy_is_made_by_the_same_arguments():
    for made in (
        pickle.loads(pickle.dumps(Engine("a", threads=3))),
        copy.copy(Engine("a", threads=3)),
    ):
        assert (made.name, made.threads) == ("A", 3)
        assert made.handle() is None
    faster = pickle.loads(pickle.dumps(Faster(3)))
    assert isinstance(faster, Faster) and (faster.factor, faster.threads) == (3, 4)
