"""What a YAML parser's complaint means for the person who wrote the file."""

from __future__ import annotations

from iecpod.errors import Problem

#: Part of the parser's complaint -> what to say, what to do. The first that fits is taken.
_EXPLANATIONS = (
    (
        "mapping values are not allowed",
        "a ':' stands where no new key can begin",
        "indent the line like its neighbours, quote a value that contains ': ', give the line above its ':'",
    ),
    (
        "could not find expected ':'",
        "this line has no ':' after its key",
        "write 'key: value', with a space after the colon",
    ),
    (
        "did not find expected key",
        "the indentation fits none of the lines above, or a quote or bracket before this place is wrong",
        "align the line with its neighbours; close every quote and bracket",
    ),
    (
        "expected <block end>",
        "the indentation fits none of the lines above, or a quote or bracket before this place is wrong",
        "align the line with its neighbours; close every quote and bracket",
    ),
    (
        "did not find expected '-' indicator",
        "the indentation fits none of the lines above",
        "align the line with the '-' of its list, or with the keys of its mapping",
    ),
    ("unknown escape character", "a backslash in double quotes begins no known escape", "use single quotes"),
    ("hexdecimal", "an escape in double quotes lacks its hex digits", "write the digits, or use single quotes"),
    ("quoted scalar", "a quote is opened here and not closed", "add the closing quote"),
    ("expected ',' or", "a bracket is opened here and not closed", "add the closing bracket or a comma"),
    ("block sequence entries are not allowed", "a '-' stands where no list can begin", "put the list on a new line"),
    ("duplicate %YAML", "two %YAML lines stand before one document", "remove one of them"),
)


def explain_syntax_error(complaint: str, context: str, line: int, column: int, text: str, file: str) -> Problem:
    """`complaint` and `context` are the parser's words; `line` and `column` count from 0 and are where it gave up."""
    lines = text.split("\n", line + 1) if text.count("\n") >= line else []
    source = lines[line] if line < len(lines) else ""
    here = source[column : column + 1]
    message, remedy = f"not YAML: {complaint}", "correct the syntax at this place"
    if here == "\t" or "\t" in source[: len(source) - len(source.lstrip())]:
        message, remedy = "a tab is used for indentation, which YAML does not allow", "indent with spaces"
    elif "alphabetic or numeric character" in complaint and "scanning an" in context:
        kind, sign = ("alias", "*") if "alias" in context else ("anchor", "&")
        message = f"a value that begins with '{sign}' is the {kind} of a value, and none can be named so"
        remedy = f"quote it if it is text, such as '{sign}…'"
    elif "cannot start any token" in complaint and here:
        message = f"a value cannot begin with {here!r}"
        remedy = "put the value in quotes"
    else:
        for part, explanation, advice in _EXPLANATIONS:
            if part in complaint or part in context:
                message, remedy = explanation, advice
                break
    return Problem(message=message, remedy=remedy, file=file, line=line + 1, column=column + 1, rule="yaml-syntax")
