"""A forked child is told what it cannot do, in place of waiting for ever."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import zoo

ROWS = np.zeros([4, 3], np.float32)


def in_child(work: Callable[[], Any]) -> str:
    """The error of `work` in a forked child; "" for none, "hangs" for no end."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
        signal.alarm(20)
        try:
            work()
            told = "no error"
        except BaseException as error:
            told = "".join(traceback.format_exception_only(error))
        os.write(write, told.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        told = stream.read().decode()
    os.waitpid(child, 0)
    return told or "hangs"


@pytest.fixture(scope="module")
def model() -> Any:
    model = zoo.create("nice", event_shape=(3,), hidden_units=(4,))
    model.log_prob(ROWS)
    return model


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork.*:RuntimeWarning")
@pytest.mark.parametrize("call", ["log_prob", "encode", "sample", "fit", "create"])
def test_calls_in_a_forked_child_are_refused(call: str, model: Any) -> None:
    calls: dict[str, Callable[[], Any]] = {
        "log_prob": lambda: model.log_prob(ROWS),
        "encode": lambda: model.encode(ROWS),
        "sample": lambda: model.sample(2),
        "fit": lambda: model.fit(ROWS, verbose=0),
        "create": lambda: zoo.create("nice", event_shape=(3,), hidden_units=(4,)),
    }
    told = in_child(calls[call])
    assert told.startswith("zoo.errors.ForkedProcessError: This process was forked from ")
    assert 'get_context("spawn")' in told
    assert model.log_prob(ROWS).shape == (4,)  # the parent goes on
