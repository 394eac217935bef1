"""The tables of the OMOP common data model 5.4 as data: columns, types, what must be there.

Source: OHDSI CommonDataModel v5.4, field level (https://ohdsi.github.io/CommonDataModel/cdm54.html). The tables of the
vocabularies are not here: they come from a download, and no plan fills them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

VERSION = "5.4"
CDM_CONCEPT = 756265  # "OMOP CDM Version 5.4.0", for cdm_source.cdm_version_concept_id

# A column a word: its name, its type (i integer, n number, d date, t datetime, s text), and `!` where it is required.
_CLINICAL = {
    "person": "person_id:i! gender_concept_id:i! year_of_birth:i! month_of_birth:i day_of_birth:i birth_datetime:t "
    "race_concept_id:i! ethnicity_concept_id:i! location_id:i provider_id:i care_site_id:i person_source_value:s "
    "gender_source_value:s gender_source_concept_id:i race_source_value:s race_source_concept_id:i "
    "ethnicity_source_value:s ethnicity_source_concept_id:i",
    "observation_period": "observation_period_id:i! person_id:i! observation_period_start_date:d! "
    "observation_period_end_date:d! period_type_concept_id:i!",
    "visit_occurrence": "visit_occurrence_id:i! person_id:i! visit_concept_id:i! visit_start_date:d! "
    "visit_start_datetime:t visit_end_date:d! visit_end_datetime:t visit_type_concept_id:i! provider_id:i "
    "care_site_id:i visit_source_value:s visit_source_concept_id:i admitted_from_concept_id:i "
    "admitted_from_source_value:s discharged_to_concept_id:i discharged_to_source_value:s "
    "preceding_visit_occurrence_id:i",
    "visit_detail": "visit_detail_id:i! person_id:i! visit_detail_concept_id:i! visit_detail_start_date:d! "
    "visit_detail_start_datetime:t visit_detail_end_date:d! visit_detail_end_datetime:t "
    "visit_detail_type_concept_id:i! provider_id:i care_site_id:i visit_detail_source_value:s "
    "visit_detail_source_concept_id:i admitted_from_concept_id:i admitted_from_source_value:s "
    "discharged_to_source_value:s discharged_to_concept_id:i preceding_visit_detail_id:i "
    "parent_visit_detail_id:i visit_occurrence_id:i!",
    "condition_occurrence": "condition_occurrence_id:i! person_id:i! condition_concept_id:i! condition_start_date:d! "
    "condition_start_datetime:t condition_end_date:d condition_end_datetime:t condition_type_concept_id:i! "
    "condition_status_concept_id:i stop_reason:s provider_id:i visit_occurrence_id:i visit_detail_id:i "
    "condition_source_value:s condition_source_concept_id:i condition_status_source_value:s",
    "drug_exposure": "drug_exposure_id:i! person_id:i! drug_concept_id:i! drug_exposure_start_date:d! "
    "drug_exposure_start_datetime:t drug_exposure_end_date:d! drug_exposure_end_datetime:t verbatim_end_date:d "
    "drug_type_concept_id:i! stop_reason:s refills:i quantity:n days_supply:i sig:s route_concept_id:i lot_number:s "
    "provider_id:i visit_occurrence_id:i visit_detail_id:i drug_source_value:s drug_source_concept_id:i "
    "route_source_value:s dose_unit_source_value:s",
    "procedure_occurrence": "procedure_occurrence_id:i! person_id:i! procedure_concept_id:i! procedure_date:d! "
    "procedure_datetime:t procedure_end_date:d procedure_end_datetime:t procedure_type_concept_id:i! "
    "modifier_concept_id:i quantity:i provider_id:i visit_occurrence_id:i visit_detail_id:i "
    "procedure_source_value:s procedure_source_concept_id:i modifier_source_value:s",
    "device_exposure": "device_exposure_id:i! person_id:i! device_concept_id:i! device_exposure_start_date:d! "
    "device_exposure_start_datetime:t device_exposure_end_date:d device_exposure_end_datetime:t "
    "device_type_concept_id:i! unique_device_id:s production_id:s quantity:i provider_id:i visit_occurrence_id:i "
    "visit_detail_id:i device_source_value:s device_source_concept_id:i unit_concept_id:i unit_source_value:s "
    "unit_source_concept_id:i",
    "measurement": "measurement_id:i! person_id:i! measurement_concept_id:i! measurement_date:d! "
    "measurement_datetime:t measurement_time:s measurement_type_concept_id:i! operator_concept_id:i "
    "value_as_number:n value_as_concept_id:i unit_concept_id:i range_low:n range_high:n provider_id:i "
    "visit_occurrence_id:i visit_detail_id:i measurement_source_value:s measurement_source_concept_id:i "
    "unit_source_value:s unit_source_concept_id:i value_source_value:s measurement_event_id:i "
    "meas_event_field_concept_id:i",
    "observation": "observation_id:i! person_id:i! observation_concept_id:i! observation_date:d! "
    "observation_datetime:t observation_type_concept_id:i! value_as_number:n value_as_string:s "
    "value_as_concept_id:i qualifier_concept_id:i unit_concept_id:i provider_id:i visit_occurrence_id:i "
    "visit_detail_id:i observation_source_value:s observation_source_concept_id:i unit_source_value:s "
    "qualifier_source_value:s value_source_value:s observation_event_id:i obs_event_field_concept_id:i",
    "death": "person_id:i! death_date:d! death_datetime:t death_type_concept_id:i cause_concept_id:i "
    "cause_source_value:s cause_source_concept_id:i",
    "note": "note_id:i! person_id:i! note_date:d! note_datetime:t note_type_concept_id:i! note_class_concept_id:i! "
    "note_title:s note_text:s! encoding_concept_id:i! language_concept_id:i! provider_id:i visit_occurrence_id:i "
    "visit_detail_id:i note_source_value:s note_event_id:i note_event_field_concept_id:i",
    "note_nlp": "note_nlp_id:i! note_id:i! section_concept_id:i snippet:s offset:s lexical_variant:s! "
    "note_nlp_concept_id:i note_nlp_source_concept_id:i nlp_system:s nlp_date:d! nlp_datetime:t term_exists:s "
    "term_temporal:s term_modifiers:s",
    "specimen": "specimen_id:i! person_id:i! specimen_concept_id:i! specimen_type_concept_id:i! specimen_date:d! "
    "specimen_datetime:t quantity:n unit_concept_id:i anatomic_site_concept_id:i disease_status_concept_id:i "
    "specimen_source_id:s specimen_source_value:s unit_source_value:s anatomic_site_source_value:s "
    "disease_status_source_value:s",
    "fact_relationship": "domain_concept_id_1:i! fact_id_1:i! domain_concept_id_2:i! fact_id_2:i! "
    "relationship_concept_id:i!",
}
_HEALTH_SYSTEM = {
    "location": "location_id:i! address_1:s address_2:s city:s state:s zip:s county:s location_source_value:s "
    "country_concept_id:i country_source_value:s latitude:n longitude:n",
    "care_site": "care_site_id:i! care_site_name:s place_of_service_concept_id:i location_id:i "
    "care_site_source_value:s place_of_service_source_value:s",
    "provider": "provider_id:i! provider_name:s npi:s dea:s specialty_concept_id:i care_site_id:i year_of_birth:i "
    "gender_concept_id:i provider_source_value:s specialty_source_value:s specialty_source_concept_id:i "
    "gender_source_value:s gender_source_concept_id:i",
}
_ECONOMIC = {
    "payer_plan_period": "payer_plan_period_id:i! person_id:i! payer_plan_period_start_date:d! "
    "payer_plan_period_end_date:d! payer_concept_id:i payer_source_value:s payer_source_concept_id:i "
    "plan_concept_id:i plan_source_value:s plan_source_concept_id:i sponsor_concept_id:i sponsor_source_value:s "
    "sponsor_source_concept_id:i family_source_value:s stop_reason_concept_id:i stop_reason_source_value:s "
    "stop_reason_source_concept_id:i",
    "cost": "cost_id:i! cost_event_id:i! cost_domain_id:s! cost_type_concept_id:i! currency_concept_id:i "
    "total_charge:n total_cost:n total_paid:n paid_by_payer:n paid_by_patient:n paid_patient_copay:n "
    "paid_patient_coinsurance:n paid_patient_deductible:n paid_by_primary:n paid_ingredient_cost:n "
    "paid_dispensing_fee:n payer_plan_period_id:i amount_allowed:n revenue_code_concept_id:i "
    "revenue_code_source_value:s drg_concept_id:i drg_source_value:s",
}
_DERIVED = {
    "drug_era": "drug_era_id:i! person_id:i! drug_concept_id:i! drug_era_start_date:d! drug_era_end_date:d! "
    "drug_exposure_count:i gap_days:i",
    "dose_era": "dose_era_id:i! person_id:i! drug_concept_id:i! unit_concept_id:i! dose_value:n! "
    "dose_era_start_date:d! dose_era_end_date:d!",
    "condition_era": "condition_era_id:i! person_id:i! condition_concept_id:i! condition_era_start_date:d! "
    "condition_era_end_date:d! condition_occurrence_count:i",
    "episode": "episode_id:i! person_id:i! episode_concept_id:i! episode_start_date:d! episode_start_datetime:t "
    "episode_end_date:d episode_end_datetime:t episode_parent_id:i episode_number:i episode_object_concept_id:i! "
    "episode_type_concept_id:i! episode_source_value:s episode_source_concept_id:i",
    "episode_event": "episode_id:i! event_id:i! episode_event_field_concept_id:i!",
}
_METADATA = {
    "metadata": "metadata_id:i! metadata_concept_id:i! metadata_type_concept_id:i! name:s! value_as_string:s "
    "value_as_concept_id:i value_as_number:n metadata_date:d metadata_datetime:t",
    "cdm_source": "cdm_source_name:s! cdm_source_abbreviation:s! cdm_holder:s! source_description:s "
    "source_documentation_reference:s cdm_etl_reference:s source_release_date:d! cdm_release_date:d! cdm_version:s "
    "cdm_version_concept_id:i! vocabulary_version:s!",
}
_TYPES = {"i": "BIGINT", "n": "DOUBLE", "d": "DATE", "t": "TIMESTAMP", "s": "VARCHAR"}
_NO_KEY = {"death", "fact_relationship", "episode_event", "cdm_source"}  # the model gives these no number of their own


@dataclass(frozen=True)
class Column:
    """A column of the model; type: as DuckDB names it (integers are 64 bits wide here, as ids are)."""

    name: str
    type: str
    required: bool

    @property
    def is_concept(self) -> bool:
        """Whether it holds a concept's id, which is 0 where nothing is known."""
        return re.search(r"_concept_id(_\d)?$", self.name) is not None


@dataclass(frozen=True)
class Table:
    """A table of the model. key: the column that numbers its rows, or empty. made: by us, not by rules."""

    name: str
    columns: tuple[Column, ...]
    key: str
    made: bool = False

    def column(self, name: str) -> Column | None:
        """The column of that name, or None."""
        return next((column for column in self.columns if column.name == name), None)

    def has(self, name: str) -> bool:
        """Whether there is such a column."""
        return self.column(name) is not None


MADE = (
    "condition_era",
    "drug_era",
    "dose_era",
    "cdm_source",
    "metadata",
)  # always derived; observation_period unless a rule fills it


def _table(name: str, words: str) -> Table:
    columns = []
    for word in words.split():
        column, _, kind = word.partition(":")
        columns.append(Column(column, _TYPES[kind[0]], kind.endswith("!")))
    return Table(name, tuple(columns), "" if name in _NO_KEY else columns[0].name, name in MADE)


TABLES: Mapping[str, Table] = MappingProxyType(
    {
        name: _table(name, words)
        for group in (_CLINICAL, _HEALTH_SYSTEM, _ECONOMIC, _DERIVED, _METADATA)
        for name, words in group.items()
    }
)


@dataclass(frozen=True)
class Event:
    """A table that a vocabulary's domain picks, and its names for what all such tables hold."""

    table: str
    domain: str  # of its standard concepts
    prefix: str  # of its concept, type and source columns
    start: str
    end: str = ""

    @property
    def roles(self) -> dict[str, str]:
        """Words that a rule may use for any event, each with this table's column."""
        found = {
            "concept": f"{self.prefix}_concept_id",
            "type": f"{self.table if self.prefix == 'cause' else self.prefix}_type_concept_id",
            "source_value": f"{self.prefix}_source_value",
            "source_concept": f"{self.prefix}_source_concept_id",
            "start": f"{self.start}_date",
            "start_time": f"{self.start}_datetime",
            "visit": "visit_occurrence_id",
            "visit_detail": "visit_detail_id",
            "provider": "provider_id",
            "care_site": "care_site_id",
            "value_concept": "value_as_concept_id",
            **({"end": f"{self.end}_date", "end_time": f"{self.end}_datetime"} if self.end else {}),
        }
        table = TABLES[self.table]
        return {role: column for role, column in found.items() if table.has(column) and column != table.key}


EVENTS: Mapping[str, Event] = MappingProxyType(
    {
        event.table: event
        for event in (
            Event("condition_occurrence", "Condition", "condition", "condition_start", "condition_end"),
            Event("drug_exposure", "Drug", "drug", "drug_exposure_start", "drug_exposure_end"),
            Event("procedure_occurrence", "Procedure", "procedure", "procedure", "procedure_end"),
            Event("device_exposure", "Device", "device", "device_exposure_start", "device_exposure_end"),
            Event("measurement", "Measurement", "measurement", "measurement"),
            Event("observation", "Observation", "observation", "observation"),
            Event("specimen", "Specimen", "specimen", "specimen"),
            Event("visit_occurrence", "Visit", "visit", "visit_start", "visit_end"),
            Event("visit_detail", "", "visit_detail", "visit_detail_start", "visit_detail_end"),
            Event("note", "", "note", "note"),
            Event("death", "", "cause", "death"),
            Event("episode", "Episode", "episode", "episode_start", "episode_end"),
        )
    }
)
BY_DOMAIN: Mapping[str, str] = MappingProxyType(
    {
        event.domain: event.table
        for event in EVENTS.values()
        if event.domain and event.table not in ("visit_occurrence", "episode")  # a code alone makes no visit
    }
)
