"""The pilot's report as one page that loads nothing and runs nothing, for whoever signs it."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, StrictUndefined

from sojourn.node.harmonise.reporting import aside_share
from sojourn.omop.reasons import QUARANTINE, UNMAPPED

_PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Pilot of {{ r.source }}</title>
<style>
body { font: 15px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: .5rem 0 1.5rem } td, th { border: 1px solid #bbb; padding: .2rem .6rem; text-align: left }
td.n { text-align: right } .warn { background: #fff3cd; padding: .5rem 1rem }
</style></head><body>
<h1>Pilot of {{ r.source }}</h1>
<p class="warn">This page names codes of the data. It stays inside the institution.</p>
<p>Plan {{ r.plan }}; vocabulary {{ r.vocabulary.version }}; {{ "all persons" if r.share == 1 else "a sample of %.1f %% of persons" | format(r.share * 100) }}.</p>
{% if aside > r.aside_at_most %}<p class="warn">The run would stop: {{ "%.1f" | format(aside * 100) }} % of the rows are kept aside, the plan allows {{ "%.1f" | format(r.aside_at_most * 100) }} %.</p>{% endif %}
{% if r.doubts %}<h2>Questions to the data's owner</h2><ul>{% for said in r.doubts %}<li>{{ said }}</li>{% endfor %}</ul>{% endif %}
<h2>Files</h2><table><tr><th>file</th><th>rows</th><th>unreadable</th></tr>
{% for name, file in r.files.items() %}<tr><td>{{ name }} ({{ file.path }})</td><td class="n">{{ file.records }}</td><td class="n">{{ file.unreadable }}</td></tr>{% endfor %}</table>
<h2>Tables</h2><table><tr><th>table</th><th>rows</th><th>from</th><th>concept 0</th></tr>
{% for name, table in r.tables.items() %}<tr><td>{{ name }}</td><td class="n">{{ table.rows }}</td>
<td>{% for part in table.parts %}{{ part.rule }}: {{ part.rows }}<br>{% endfor %}</td>
<td>{% for column, rows in table.without_concept.items() if rows %}{{ column }}: {{ rows }}<br>{% endfor %}</td></tr>{% endfor %}</table>
{% if r.doses.exposures %}<p>{{ r.doses.with_dose }} of {{ r.doses.exposures }} drug exposures tell a daily amount; the others are in no dose era.</p>{% endif %}
<h2>Kept aside</h2>{% if r.aside %}<table><tr><th>file</th><th>rule</th><th>table</th><th>reason</th><th>columns</th><th>rows</th></tr>
{% for each in r.aside %}<tr><td>{{ each.file }}</td><td>{{ each.rule }}</td><td>{{ each.table }}</td><td>{{ quarantine[each.reason] }}</td><td>{{ each.columns }}</td><td class="n">{{ each.rows }}</td></tr>{% endfor %}</table>{% else %}<p>No row.</p>{% endif %}
{% for each in r.files_aside %}<p class="warn">Of {{ each.path }} {{ each.aside }} of {{ each.rows }} rows are kept aside; the plan allows {{ "%.1f" | format(r.aside_at_most * 100) }} % of all. Is it of another form?</p>{% endfor %}
{% if r.left_out %}<h2>Left out by `where`</h2><table><tr><th>rule</th><th>rows</th></tr>{% for name, rows in r.left_out.items() %}<tr><td>{{ name }}</td><td class="n">{{ rows }}</td></tr>{% endfor %}</table>{% endif %}
{% if r.unlisted %}<h2>Values that a list does not name</h2>
{% for each in r.unlisted %}<h3>{{ each.rule }}, {{ each.field }}: {{ each.rows }} rows become {{ each.becomes }}</h3>
<table><tr><th>{{ each.of }}</th><th>rows</th></tr>{% for one in each.listed %}<tr><td>{{ "(empty)" if one.value is none else one.value }}</td><td class="n">{{ one.rows }}</td></tr>{% endfor %}</table>{% endfor %}{% endif %}
<h2>Codes without a concept</h2>
{% for name, codes in r.unmapped.items() %}<h3>{{ name }}: {{ codes.unmapped_codes }} of {{ codes.codes }} codes, {{ codes.unmapped_rows }} of {{ codes.rows }} rows</h3>
{% if codes.listed %}<table><tr><th>vocabulary</th><th>code</th><th>rows</th><th>reason</th></tr>
{% for each in codes.listed %}<tr><td>{{ each.vocabulary or "" }}</td><td>{{ each.code or "" }}</td><td class="n">{{ each.rows }}</td><td>{{ unmapped[each.reason] }}</td></tr>{% endfor %}</table>{% endif %}{% endfor %}
{% for name, each in r.medicines.items() %}<h3>Medicines of {{ name }}: {{ each.names }} names</h3>
<table><tr><th>became</th><th>names</th><th>rows</th></tr>
{% for word in ("drug", "ingredient", "decision", "unknown") %}<tr><td>{{ word }}</td><td class="n">{{ each[word ~ "_names"] }}</td><td class="n">{{ each[word ~ "_rows"] }}</td></tr>{% endfor %}</table>
{% if each.listed %}<table><tr><th>name</th><th>rows</th><th>became</th></tr>
{% for one in each.listed %}<tr><td>{{ one.name or "" }}</td><td class="n">{{ one.rows }}</td><td>{{ unmapped.get(one.became, one.became) }}</td></tr>{% endfor %}</table>{% endif %}
{% if each.rare_names %}<p>{{ each.rare_names }} names of few rows are not shown; `unmapped` and `drug_exposure` of a run hold them.</p>{% endif %}{% endfor %}
{% for name, units in r.units.items() %}<h3>Units of {{ name }}: {{ units.spellings }} spelling{{ '' if units.spellings == 1 else 's' }}</h3>
{% if units.listed %}<table><tr><th>unit</th><th>in the value</th><th>code</th><th>to</th><th>rows</th><th>reason</th></tr>
{% for each in units.listed %}<tr><td>{{ each.unit }}</td><td>{{ each.own }}</td><td>{{ each.loinc }}</td><td>{{ each.target }}</td><td class="n">{{ each.rows }}</td><td>{{ each.reason }}</td></tr>{% endfor %}</table>{% endif %}{% endfor %}
{% for name, each in r.results.items() %}<h3>Measured values of {{ name }}: {{ each.numbers }} of {{ each["values"] }} have a number</h3>
<table><tr><th>became</th><th>rows</th></tr><tr><td>a number</td><td class="n">{{ each.numbers }}</td></tr>
<tr><td>of these with `{{ each.other }}` read as a sign between thousands</td><td class="n">{{ each.grouped }}</td></tr>
<tr><td>a range, without a number</td><td class="n">{{ each.ranges }}</td></tr><tr><td>a text, without a number</td><td class="n">{{ each.texts }}</td></tr>
<tr><td>of these numbers if `{{ each.other }}` is the sign before decimals</td><td class="n">{{ each.other_sign }}</td></tr></table>
{% if each.listed %}<table><tr><th>text of at least ten rows</th><th>rows</th></tr>{% for one in each.listed %}<tr><td>{{ one.text }}</td><td class="n">{{ one.rows }}</td></tr>{% endfor %}</table>{% endif %}{% endfor %}
</body></html>
"""  # noqa: E501  (a page's lines are as long as they are)


def page(report: dict[str, Any]) -> str:
    """The whole page; all text is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(_PAGE).render(
        r=report, aside=aside_share(report), quarantine=QUARANTINE, unmapped=UNMAPPED
    )
