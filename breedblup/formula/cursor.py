"""A place in the tokens of a formula: what comes next, what must come next, and refusals that show where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from breedblup.errors import nearest
from breedblup.formula.tokens import Token, fail, tokenize

ELSEWHERE = {
    "as.factor": "write factor(x)",
    "ordered": "write factor(x)",
    "as.numeric": "write covariate(x)",
    "cbind": "write several responses as (y1, y2) ~ ...",
    "offset": "subtract it from the response, as in I(y - x) ~ ...",
    "scale": "it depends on the records in use; write its numbers, as in I((x - 250)/40)",
    "ns": "write bspline(x, 3, knots=(...))",
    "bs": "write bspline(x, 3, knots=(...))",
    "s": "write bspline(x, 3, knots=(...))",
    "us": "write (1 + x | g)",
    "diag": "write (1 + x || g)",
}
"""What other programs call something, and what to write instead."""


class Cursor:
    """Reads tokens from left to right; knows names, numbers and brackets, no rule of the grammar."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokenize(text)
        self.at = 0

    @property
    def token(self) -> Token:
        """The next token."""
        return self.tokens[self.at]

    def fail(self, message: str, token: Token | None = None) -> NoReturn:
        """Refuse the formula at a token, or at the next one."""
        fail(self.text, (token or self.token).start, message)

    def take(self, *kinds: str) -> Token | None:
        """The next token when it is of one of these kinds."""
        if self.token.kind not in kinds:
            return None
        self.at += 1
        return self.tokens[self.at - 1]

    def expect(self, kind: str, purpose: str) -> Token:
        """The next token, which must be of this kind."""
        return self.take(kind) or self.fail(f"expected '{kind}' {purpose}, found {self.token}")

    def close(self, opening: Token) -> None:
        """The parenthesis that belongs to ``opening``."""
        self.expect(")", f"to close the '(' of column {opening.start + 1}")

    def name(self, what: str) -> str:
        """A name, plain or between backticks."""
        token = self.take("name", "quoted") or self.fail(f"expected {what}, found {self.token}")
        return token.value

    def end(self) -> None:
        """Nothing is left; a bar that is stands outside parentheses."""
        if self.token.kind in ("|", "||"):
            self.fail("a random term stands between parentheses, as in (1 | animal)")
        if self.token.kind != "end":
            self.fail(f"expected '+' or the end of the formula, found {self.token}; terms are joined by '+'")

    def number(self, what: str) -> float:
        """A number, perhaps with a minus sign."""
        sign = -1.0 if self.take("-") else 1.0
        token = self.take("number") or self.fail(f"expected {what}, found {self.token}")
        return sign * float(token.text)

    def keyword(self, function: str, *known: str) -> str:
        """Which of the known names stands before the next ``=``, or a complaint about another name."""
        wanted = " or ".join(f"'{name}='" for name in known)
        token = self.take("name") or self.fail(f"expected {wanted}, found {self.token}")
        if token.value not in known:
            self.fail(f"{function}() has no argument {token.value!r}{nearest(token.value, known)}", token)
        self.expect("=", f"after {token.value}")
        return token.value

    def followed_by(self, kind: str) -> bool:
        """Whether a plain name comes next, and then a token of this kind."""
        return self.token.kind == "name" and self.tokens[self.at + 1].kind == kind

    def calls(self) -> bool:
        """Whether a function call begins here."""
        return self.followed_by("(")

    def open_call(self, known: Sequence[str]) -> tuple[str, Token]:
        """The function of the call that begins here, one of the ``known``, and its parenthesis."""
        function = self.token.value
        if function not in known:
            if function in ELSEWHERE:
                self.fail(f"{function}() is not known here; {ELSEWHERE[function]}")
            listed = ", ".join(f"{name}()" for name in known)
            self.fail(f"unknown function {function!r}{nearest(function, known)}; known here are {listed}")
        self.at += 2
        return function, self.tokens[self.at - 1]

    def open_random(self) -> Token | None:
        """The parenthesis that comes next, when it has a bar of its own."""
        depth = 0
        for token in self.tokens[self.at :]:
            depth += (token.kind == "(") - (token.kind == ")")
            if depth <= 0:
                return None
            if depth == 1 and token.kind in ("|", "||"):
                return self.take("(")
        return None
