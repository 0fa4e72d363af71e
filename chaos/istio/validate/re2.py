"""Does a regular expression compile in RE2? The syntax that Go's `regexp` and Envoy accept, which Python's `re` is not.

People test expressions in tools for PCRE and paste them: lookaround, backreferences, possessive quantifiers and
`(?P=name)` do not exist in RE2, and istiod refuses the object. This is a syntax check only: nothing is matched here.
Rules and messages are those of Go's regexp/syntax with Perl flags. Names of Unicode scripts are not looked up.
"""

from __future__ import annotations

import re
import string

_FLAGS = re.compile(r"\(\?[imsU]*(?:-[imsU]+)?[:)]")
_NAMED = re.compile(r"\(\?P?<([A-Za-z0-9_]+)>")
_REPEAT = re.compile(r"\{(\d+)(,(\d*))?\}")
_UNICODE = re.compile(r"\\[pP](?:([A-Z])(?![a-z])|\{\^?([A-Za-z_0-9]+)\})")
_HEX = re.compile(r"\\x(?:\{([0-9A-Fa-f]+)\}|[0-9A-Fa-f]{2})")
_POSIX = re.compile(r"\[:(\^?[a-z]+):\]")
_POSIX_CLASSES = frozenset(
    {
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
        "xdigit",
    }
)  # fmt: skip
_CATEGORIES = frozenset(
    {
        "C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl", "No", "P",
        "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs",
    }
)  # fmt: skip
_EMPTY_WIDTH = "AbBz"
_CLASSES = "dDsSwW"
_CONTROLS = "afnrtv"
_MOST_REPEATS = 1000


class InvalidPattern(ValueError):
    """Why RE2 would not compile it, in Go's words."""


def problem(pattern: str) -> str | None:
    """Why RE2 refuses `pattern`, or None."""
    try:
        _Scan(pattern).run()
    except InvalidPattern as error:
        return f"error parsing regexp: {error}"
    return None


class _Scan:
    """One pass from left to right; groups are a stack, so that depth costs no recursion.

    `operand` says whether there is something to repeat, `repeats` how often the innermost thing can be repeated by now
    (Go bounds the product of nested counts), `last` the repetition operator that stands immediately before.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.operand = False
        self.repeats = 1
        self.last = ""
        self.open: list[int] = []
        self.inside = [1]
        self.names: set[str] = set()

    def run(self) -> None:
        while self.at < len(self.pattern):
            last, self.last = self.last, ""
            self._step(self.pattern[self.at], last)
        if self.open:
            raise InvalidPattern(f"missing closing ): `{self.pattern}`")

    def _step(self, char: str, last: str) -> None:
        if char == "(":
            self._group()
        elif char == ")":
            self._close()
        elif char == "|":
            self._end_item()
            self.at += 1
        elif char == "[":
            self._char_class()
        elif char == "\\":
            self._escape()
        elif char in "*+?":
            self._repeat(char, 1, last)
        elif char == "{" and (match := _REPEAT.match(self.pattern, self.at)) and self._is_count(match):
            self._counted(match, last)
        else:
            self._item(1)

    def _item(self, length: int) -> None:
        self._end_item()
        self.at += length
        self.operand, self.repeats = True, 1

    def _end_item(self) -> None:
        """What stood here is finished: it counts towards the group it is in."""
        self.inside[-1] = max(self.inside[-1], self.repeats)
        self.operand, self.repeats = False, 1

    # ---------------------------------------------------------------------------------------------------- groups
    def _group(self) -> None:
        self._end_item()
        if self.pattern.startswith("(?", self.at):
            if not self._special_group():
                return
        else:
            self.at += 1
        self.open.append(self.at)
        self.inside.append(1)

    def _special_group(self) -> bool:
        """`(?:`, `(?flags)`, `(?P<name>`: true if a group was opened."""
        if self.pattern.startswith(("(?P<", "(?<"), self.at):
            match = _NAMED.match(self.pattern, self.at)
            if match is None or match.group(1) in self.names:
                raise InvalidPattern(f"invalid named capture: `{self.pattern[self.at :]}`")
            self.names.add(match.group(1))
            self.at = match.end()
            return True
        if flags := _FLAGS.match(self.pattern, self.at):
            self.at = flags.end()
            return flags.group(0).endswith(":")
        raise InvalidPattern(f"invalid or unsupported Perl syntax: `{self.pattern[self.at : self.at + 3]}`")

    def _close(self) -> None:
        if not self.open:
            raise InvalidPattern(f"unexpected ): `{self.pattern}`")
        self._end_item()
        self.open.pop()
        self.at += 1
        self.operand, self.repeats = True, self.inside.pop()

    # ----------------------------------------------------------------------------------------------- repetitions
    @staticmethod
    def _is_count(match: re.Match[str]) -> bool:
        """`{007}` is text to Go, as it is not a number it would write itself."""
        return all(len(n) < 2 or n[0] != "0" for n in (match.group(1), match.group(3) or ""))

    def _counted(self, match: re.Match[str], last: str) -> None:
        low = int(match.group(1))
        high = low if match.group(2) is None else int(match.group(3)) if match.group(3) else -1
        text = match.group(0)
        if max(low, high) > _MOST_REPEATS or 0 <= high < low:
            raise InvalidPattern(f"invalid repeat count: `{text}`")
        self._repeat(text, max(low, high, 1), last)
        if self.repeats > _MOST_REPEATS:
            raise InvalidPattern(f"invalid repeat count: `{text}`")

    def _repeat(self, operator: str, times: int, last: str) -> None:
        after = self.at + len(operator)
        if self.pattern.startswith("?", after):
            after += 1  # not greedy
        if last:
            raise InvalidPattern(f"invalid nested repetition operator: `{last}{operator}`")
        if not self.operand:
            raise InvalidPattern(f"missing argument to repetition operator: `{operator}`")
        self.last = self.pattern[self.at : after]
        self.at = after
        self.repeats *= times

    # --------------------------------------------------------------------------------------- escapes and classes
    def _escape(self) -> None:
        if self.pattern.startswith(r"\Q", self.at):
            end = self.pattern.find(r"\E", self.at + 2)
            literal = end - self.at - 2 if end >= 0 else len(self.pattern) - self.at - 2
            if literal:
                self._item(0)
            self.at += 2 + literal + (2 if end >= 0 else 0)
            return
        following = self.pattern[self.at + 1 : self.at + 2]
        length = 2 if following and following in _EMPTY_WIDTH + _CLASSES else self._unicode() or self._single()
        self._item(length)

    def _unicode(self) -> int:
        """Length of `\\pN` or `\\p{Greek}` here; 0 if there is none."""
        if self.pattern[self.at + 1 : self.at + 2] not in ("p", "P"):
            return 0
        match = _UNICODE.match(self.pattern, self.at)
        name = (match.group(1) or match.group(2)) if match else ""
        if match is None or (len(name) < 3 and name not in _CATEGORIES):
            raise InvalidPattern(f"invalid character class range: `{self.pattern[self.at : self.at + 3]}`")
        return match.end() - match.start()

    def _single(self) -> int:
        """Length of an escape that stands for one character (regexp/syntax `parseEscape`)."""
        rest = self.pattern[self.at + 1 : self.at + 4]
        if not rest:
            raise InvalidPattern("trailing backslash at end of expression: ``")
        if match := _HEX.match(self.pattern, self.at):
            if match.group(1) and int(match.group(1), 16) > 0x10FFFF:
                raise InvalidPattern(f"invalid escape sequence: `{match.group(0)}`")
            return match.end() - match.start()
        if rest[0] == "0" or (rest[0] in "1234567" and rest[1:2] and rest[1:2] in string.octdigits):
            return 2 + len(re.match(r"[0-7]{0,2}", rest[1:]).group(0))  # type: ignore[union-attr]
        if rest[0] in _CONTROLS or (rest[0].isascii() and not rest[0].isalnum()):
            return 2
        raise InvalidPattern(f"invalid escape sequence: `\\{rest[0]}`")

    def _char_class(self) -> None:
        start, first = self.at, True
        self._item(2 if self.pattern.startswith("[^", self.at) else 1)
        while first or not self.pattern.startswith("]", self.at):
            if self.at >= len(self.pattern):
                raise InvalidPattern(f"missing closing ]: `{self.pattern[start:]}`")
            first = False
            self._class_member(start)
        self.at += 1

    def _class_member(self, start: int) -> None:
        if posix := _POSIX.match(self.pattern, self.at):
            if posix.group(1).removeprefix("^") not in _POSIX_CLASSES:
                raise InvalidPattern(f"invalid character class range: `{posix.group(0)}`")
            self.at = posix.end()
            return
        following = self.pattern[self.at + 1 : self.at + 2]
        if self.pattern[self.at] == "\\" and following and following in _CLASSES:
            self.at += 2
            return
        if self.pattern[self.at] == "\\" and (length := self._unicode()):
            self.at += length
            return
        begin = self.at
        low = self._class_char(start)
        if self.pattern.startswith("-", self.at) and not self.pattern.startswith("-]", self.at):
            self.at += 1
            if self._class_char(start) < low:
                raise InvalidPattern(f"invalid character class range: `{self.pattern[begin : self.at]}`")

    def _class_char(self, start: int) -> int:
        if self.at >= len(self.pattern):
            raise InvalidPattern(f"missing closing ]: `{self.pattern[start:]}`")
        begin = self.at
        if self.pattern[begin] != "\\":
            self.at += 1
            return ord(self.pattern[begin])
        self.at += self._single()
        return _code(self.pattern[begin + 1 : self.at])


def _code(escape: str) -> int:
    """The character an escape (without its backslash) stands for."""
    if escape[0] == "x":
        return int(escape[1:].strip("{}"), 16)
    if escape[0] in string.octdigits:
        return int(escape, 8)
    return ord(dict(zip(_CONTROLS, "\a\f\n\r\t\v", strict=True)).get(escape, escape[0]))
