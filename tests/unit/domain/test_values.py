"""Values of the domain go from thread to thread and from party to party: none changes in anybody's hands."""

from dataclasses import is_dataclass
from importlib import import_module
from pkgutil import iter_modules

import pytest

import pitwall.domain

MODULES = [import_module(f"pitwall.domain.{module.name}") for module in iter_modules(pitwall.domain.__path__)]
VALUES = [
    value
    for module in MODULES
    for value in vars(module).values()
    if isinstance(value, type) and is_dataclass(value) and value.__module__ == module.__name__
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.__name__)
def test_it_is_frozen_and_slotted(value: type) -> None:
    assert vars(value)["__dataclass_params__"].frozen
    assert "__slots__" in vars(value)
