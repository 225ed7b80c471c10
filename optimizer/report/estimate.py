"""A score with its error."""

from dataclasses import dataclass

NORMAL_95 = 1.96
"""Standard errors on either side of a mean that hold 95 % of a normal distribution."""


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error."""

    value: float
    standard_error: float

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval, normal approximation."""
        return self.value - NORMAL_95 * self.standard_error

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.value + NORMAL_95 * self.standard_error
