"""Made-up rows under column names like those of an intensive-care database, beside the export of the tutorial."""

from __future__ import annotations

from pathlib import Path

PATIENTS = 150
# Of each file, what its columns are; others are not used. Written before the first look at what is suggested.
ROLES = {
    "patients": {"subject_id": "row", "gender": "gender", "dob": "birth", "dod": "death"},
    "admissions": {
        "subject_id": "person",
        "hadm_id": "row",
        "admittime": "start",
        "dischtime": "end",
        "admission_type": "kind",
    },
    "diagnoses_icd": {
        "subject_id": "person",
        "hadm_id": "visit",
        "icd_code": "code",
        "icd_version": "vocabulary",
    },
    "labevents": {
        "subject_id": "person",
        "hadm_id": "visit",
        "loinc_code": "code",
        "charttime": "start",
        "valuenum": "value",
        "valueuom": "unit",
    },
    "prescriptions": {
        "subject_id": "person",
        "hadm_id": "visit",
        "starttime": "start",
        "stoptime": "end",
        "ndc": "code",
    },
}
TABLES = {
    "patients": "person",
    "admissions": "visit_occurrence",
    "diagnoses_icd": "condition_occurrence",
    "labevents": "measurement",
    "prescriptions": "drug_exposure",
}
_CODES = ("I10", "E11.9", "J18.9", "N18.3", "I50.9", "A41.9", "K92.2")
_LABS = (("2951-2", "mmol/L"), ("2823-3", "mmol/L"), ("718-7", "g/dL"), ("2160-0", "mg/dL"), ("6690-2", "10*9/L"))


def write(folder: Path) -> Path:
    """Five CSV files; the same each time."""
    folder.mkdir()
    rows: dict[str, list[str]] = {
        "patients": ["subject_id,gender,anchor_age,dob,dod"],
        "admissions": ["subject_id,hadm_id,admittime,dischtime,admission_type,insurance,marital_status"],
        "diagnoses_icd": ["subject_id,hadm_id,seq_num,icd_code,icd_version"],
        "labevents": ["labevent_id,subject_id,hadm_id,loinc_code,charttime,value,valuenum,valueuom,flag"],
        "prescriptions": ["subject_id,hadm_id,starttime,stoptime,drug,ndc,route"],
    }
    for n in range(PATIENTS):
        person, stay = 10_000_000 + 37 * n, 20_000_000 + 91 * n
        day = f"2150-0{1 + n % 9}-{10 + n % 18}"
        died = f"{day} " if n % 9 == 0 else ""
        rows["patients"].append(f"{person},{'MF'[n % 2]},{20 + n % 60},19{20 + n % 70}-0{1 + n % 9}-15,{died.strip()}")
        kind = ("EW EMER.", "URGENT", "ELECTIVE")[n % 3]
        rows["admissions"].append(
            f"{person},{stay},{day} 08:{10 + n % 50}:00,{day} 20:{10 + n % 50}:00,{kind},Medicare,MARRIED"
        )
        for place in range(3):
            rows["diagnoses_icd"].append(f"{person},{stay},{place + 1},{_CODES[(n + place) % 7]},{10}")
            code, unit = _LABS[(n + place) % 5]
            value = f"{3 + (n * 7 + place) % 90}.{place}"
            rows["labevents"].append(
                f"{3 * n + place},{person},{stay},{code},{day} 09:{10 + n % 50}:00,{value},{value},{unit},"
            )
        rows["prescriptions"].append(
            f"{person},{stay},{day} 10:00:00,{day} 18:00:00,Drug {n % 8},{50_000_000_000 + n % 12},PO"
        )
    for name, lines in rows.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
