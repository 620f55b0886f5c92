"""Templates: strict, XML-escaped, and YAML values that survive a YAML reader."""

from __future__ import annotations

import jinja2
import pytest
import yaml

from iecpod.render.templating import make_environment


def render(name: str, source: str, **values: object) -> str:
    return make_environment(jinja2.DictLoader({name: source})).get_template(name).render(**values)


def test_xml_templates_escape_values() -> None:
    text = render("volume.xml.j2", "<name>{{ text }}</name>", text="a<b>&\"c'")
    assert text == "<name>a&lt;b&gt;&amp;&#34;c&#39;</name>"


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "yes",
        "52:54:00:12:34:56",
        "a: b # c",
        'it\'s <here> & "there"',
        "two\nlines\n",
        "Ω 😀 \x7f \x85 \u2028",
    ],
)
def test_tojson_survives_a_yaml_reader(value: str) -> None:
    text = render("user-data.yaml.j2", "key: {{ value | tojson }}\n", value=value)
    assert yaml.safe_load(text) == {"key": value}


def test_tojson_keeps_text_readable() -> None:
    assert render("x.yaml.j2", "{{ v | tojson }}", v="<é>") == '"<é>"'


@pytest.mark.parametrize("source", ["{{ missing }}", "{{ missing | tojson }}", "{{ {'k': missing} | tojson }}"])
def test_missing_variable_is_an_error_that_names_it(source: str) -> None:
    with pytest.raises(jinja2.UndefinedError, match="missing"):
        render("x.yaml.j2", source)


def test_none_is_not_printed() -> None:
    with pytest.raises(jinja2.UndefinedError, match="None"):
        render("x.yaml.j2", "{{ value }}", value=None)


def test_block_lines_leave_no_trace() -> None:
    assert render("x.yaml.j2", "a\n  {% if true %}\n  b\n  {% endif %}\nc\n") == "a\n  b\nc\n"
