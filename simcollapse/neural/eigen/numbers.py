"""Numbers as tokens: base 10 floating point with a stated number of digits. NumPy, float64.

A number is sign x mantissa x 10^exponent, the mantissa a whole number of `digits` digits. Three ways of writing it:

P10: a token for the sign, one for each digit, one for the exponent.
P1000: sign, mantissa, exponent.
B1999: sign and mantissa together, exponent.

Source of the three: Charton, Linear algebra with transformers, arXiv 2112.01898.
"""

import dataclasses

import numpy as np

from simcollapse.checks import check_choice, check_whole

NAMES = ("P10", "P1000", "B1999")
MOST_DIGITS = {"P10": 7, "P1000": 3, "B1999": 3}  # 7: what single precision holds
EXPONENTS = (-12, 12)  # single precision times such powers of ten is exact in double precision
START = 0  # the token before a sequence; no number contains it


@dataclasses.dataclass(frozen=True)
class Encoding:
    """A way of writing numbers. Build it with `encoding(...)`.

    A number is rounded to the nearest with `digits` significant digits, ties to even; one below
    10^(digits - 1 + lowest) to the nearest multiple of 10^lowest. Of numbers that single precision holds the rounding
    is exact.
    """

    name: str
    digits: int
    lowest: int  # exponents of ten of the mantissa's last digit
    highest: int

    @property
    def length(self) -> int:
        """Tokens of one number."""
        return {"P10": self.digits + 2, "P1000": 3, "B1999": 2}[self.name]

    @property
    def vocabulary(self) -> int:
        """Tokens there are, the start of a sequence among them."""
        return self._exponents + self.highest - self.lowest + 1

    @property
    def largest(self) -> float:
        """The largest number that can be written."""
        return float(self._mantissas - 1) * 10.0**self.highest

    @property
    def words(self) -> list[str]:
        """What each token says."""
        if self.name == "B1999":
            middle = [str(m) for m in range(1 - self._mantissas, self._mantissas)]
        else:
            middle = ["+", "-", *map(str, range(10 if self.name == "P10" else self._mantissas))]
        return ["start", *middle, *(f"E{e}" for e in range(self.lowest, self.highest + 1))]

    @property
    def _mantissas(self) -> int:
        return 10**self.digits

    @property
    def _exponents(self) -> int:
        """The token of the lowest exponent."""
        middle = {"P10": 12, "P1000": 2 + self._mantissas, "B1999": 2 * self._mantissas - 1}[self.name]
        return 1 + middle

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Tokens (…, length) of numbers (…), int16.

        Raises:
            ValueError: a number that is not finite, or larger than `largest`.
        """
        values = np.asarray(values, dtype=float)
        sign, mantissa, exponent = self._parts(values)
        last = self._exponents + exponent - self.lowest
        if self.name == "B1999":
            # Zero has one writing only.
            tokens = [self._mantissas + np.where(sign, -mantissa, mantissa), last]
        elif self.name == "P1000":
            tokens = [1 + sign, 3 + mantissa, last]
        else:
            digits = [3 + mantissa // 10**i % 10 for i in range(self.digits - 1, -1, -1)]
            tokens = [1 + sign, *digits, last]
        return np.stack(tokens, axis=-1).astype(np.int16)

    def _parts(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sign (1 is minus), mantissa and exponent."""
        size = np.abs(values)
        if not np.all(np.isfinite(values)):
            raise ValueError("values must be finite to be written as tokens, got one that is not")
        with np.errstate(divide="ignore"):
            order = np.floor(np.log10(size))
        exponent = np.maximum(np.where(size > 0, order - self.digits + 1, self.lowest), self.lowest)
        mantissa = _rounded(size, exponent)
        # Rounded up to the next power of ten, or log10 a little too small: one exponent more, rounded afresh.
        exponent = np.where(mantissa >= self._mantissas, exponent + 1, exponent)
        mantissa = _rounded(size, exponent)
        if np.any(exponent > self.highest):
            raise ValueError(
                f"values must be at most {self.largest:g} in size, the largest number that {self.name} writes with "
                f"{self.digits} digits and exponents {self.lowest}..{self.highest}, got {size.max():g}"
            )
        sign = (values < 0) & (mantissa > 0)
        return sign.astype(np.int64), mantissa.astype(np.int64), exponent.astype(np.int64)

    def mantissa_digits(self, tokens: np.ndarray) -> np.ndarray:
        """Decimal digits (…, digits) of tokens (…, length), the first ones first; -1 where a token is no mantissa."""
        tokens = np.asarray(tokens).astype(np.int64)
        if self.name == "P10":
            digits = tokens[..., 1:-1] - 3
            return np.where((digits >= 0) & (digits < 10), digits, -1)
        signed = self.name == "B1999"
        mantissa = np.abs(tokens[..., :1] - self._mantissas) if signed else tokens[..., 1:2] - 3
        good = tokens[..., :1] >= 1 if signed else mantissa >= 0
        good &= mantissa < self._mantissas
        return np.where(good, mantissa // 10 ** np.arange(self.digits)[::-1] % 10, -1)

    def decode(self, tokens: np.ndarray) -> np.ndarray:
        """Numbers (…) of tokens (…, length); NaN where the tokens are no number."""
        tokens = np.asarray(tokens).astype(np.int64)
        first, last = tokens[..., 0], tokens[..., -1]
        good = (last >= self._exponents) & (last < self.vocabulary)
        exponent = np.where(good, last - self._exponents + self.lowest, 0)
        if self.name == "B1999":
            mantissa = first - self._mantissas
            sign = 1
            good &= (first >= 1) & (first < self._exponents)
        else:
            sign = np.where(first == 1, 1, -1)
            good &= (first == 1) | (first == 2)
            places = tokens[..., 1:-1] - 3
            good &= np.all((places >= 0) & (places < self._exponents - 3), axis=-1)
            base = 10 if self.name == "P10" else self._mantissas
            mantissa = places @ base ** np.arange(places.shape[-1])[::-1]
        return np.where(good, sign * _scaled(mantissa, exponent), np.nan)


def _scaled(mantissa: np.ndarray, exponent: np.ndarray) -> np.ndarray:
    """mantissa x 10^exponent, rounded once: powers of ten below 10^22 are exact, so divide by them."""
    down = 10.0 ** np.maximum(-exponent, 0)
    up = 10.0 ** np.maximum(exponent, 0)
    return mantissa * up / down


def _rounded(size: np.ndarray, exponent: np.ndarray) -> np.ndarray:
    return np.rint(_scaled(size, -exponent))


def encoding(name: str, digits: int = 3, *, lowest: int = -7, highest: int = 2) -> Encoding:
    """A way of writing numbers, checked. With three digits the defaults hold sizes from 1e-5 to 99,900.

    Raises:
        ValueError: an unknown name, digits that do not fit it, or exponents out of order.
    """
    check_choice("name", name, NAMES)
    most = MOST_DIGITS[name]
    digits = check_whole("digits", digits, 1)
    if digits > most:
        raise ValueError(f"digits must lie in 1..{most} for {name}, got {digits}")
    lowest = check_whole("lowest", lowest, EXPONENTS[0], EXPONENTS[1])
    highest = check_whole("highest", highest, EXPONENTS[0], EXPONENTS[1])
    if lowest > highest:
        raise ValueError(f"lowest must be <= highest, got {lowest} and {highest}")
    return Encoding(name, digits, lowest, highest)
