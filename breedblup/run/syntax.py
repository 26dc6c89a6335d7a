"""TOML as it is read, and what is said of a file that is none."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from breedblup.errors import ConfigurationError

_QUOTES = (
    "text belongs in quotes, and so do names with signs other than letters, digits, _ and -, such as "
    '"ide(animal)" = 12.0'
)
# What the parser says, what stands in the line it names, and the advice that fits; the first that matches is given.
_ADVICE = (
    (r"Cannot |[Dd]uplicate", "", "this key or section is given before; leave one of the two out"),
    ("", r"=\s*[+-]?\d+,\d", "numbers have a decimal point, such as 20.5"),
    ("Unescaped", "", "write / in names of files, or put them between single quotes"),
    ("Invalid value", r"=\s*[“”„‘’«»]", 'put text between straight quotes, "…"'),
    ("Invalid value", r"=\s*(?i:true|false)\b", "write true and false in small letters"),
    ("Invalid value", r"=\s*(#|$)", "write a value behind the ="),
    (r"Illegal character '\\[nr]|Unterminated string", "", "close the quotes on the line on which they open"),
    (r"Unclosed|Expected ']'", "", "close the bracket; commas stand between the items of a list or table"),
    ("Expected '='", "^[^=]*$", "write a section as [records], and all else as name = value"),
    ("", "", _QUOTES),
)


def read_toml(place: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises
    ------
    ConfigurationError
        If it cannot be read, or is not TOML; with advice that fits what is wrong.
    """
    try:
        text = place.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigurationError(f"{place}: there is no such file") from None
    except IsADirectoryError:
        raise ConfigurationError(f"{place}: this is a folder; name the configuration file in it") from None
    except OSError as wrong:
        raise ConfigurationError(f"{place}: the file cannot be read: {wrong.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{place.name}: the file is not UTF-8; save it as UTF-8 text") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        raise ConfigurationError(f"{place.name}: {_in_words(str(wrong), text)}") from None


def _in_words(said: str, text: str) -> str:
    """What is wrong with a text that is not TOML, the line, and what to do."""
    lines = text.splitlines()
    first = next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), "")
    if "=" not in first and not first.lstrip().startswith("["):
        return (
            f"this is no configuration: it begins with {first.strip()[:60]!r}, and not with a section such as "
            "[records]; give the path of evaluation.toml"
        )
    number = re.search(r"line (\d+)", said)
    line = lines[int(number[1]) - 1].strip() if number and int(number[1]) <= len(lines) else ""
    advice = next(advice for message, inside, advice in _ADVICE if re.search(message, said) and re.search(inside, line))
    shown = f"\n    {line}" if line else ""
    return f"this is not TOML: {said}; {advice}{shown}"
