"""The builder of outputs for the tests of the gate and its rules."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

settings.register_profile("disclosure", deadline=None, max_examples=25)  # a linear programme waits for no clock
settings.load_profile("disclosure")


@pytest.fixture(scope="session")
def outputs() -> ModuleType:
    place = importlib.util.spec_from_file_location("disclosure_outputs", Path(__file__).with_name("outputs.py"))
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module
