"""The first things to do in a new installation: each room registers its own, and the home page ticks them off."""

from collections.abc import Callable
from dataclasses import dataclass

from registry.kit.registrations import Registrations


@dataclass(frozen=True, slots=True)
class FirstStep:
    """`is_done` asks the rows, so a step is ticked off however it was done."""

    title: str
    right: str  # only people with this right see the step
    is_done: Callable[[], bool]
    address: Callable[[], str]  # the page where it is done
    docs: str  # the page of the documentation


FIRST_STEPS: Registrations[FirstStep] = Registrations("first step")
