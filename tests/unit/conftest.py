"""What holds for every unit test."""

from hypothesis import settings

from tests.support.machines import USUAL

settings.load_profile(USUAL)
