"""INCART: a small release in the official layout, with repeated patients and known defective records."""

from __future__ import annotations

import pytest
from wfdb_files import noise, write_record

from ecgssl.config import SetParams
from ecgssl.datasets.load import load
from ecgssl.datasets.public.incart import INCART
from ecgssl.errors import InputError
from ecgssl.io import read


def write_incart(root, name, patient, person):
    path = write_record(root, name, noise(samples=514), gain="306", rate=257)
    header = path.with_suffix(".hea")
    text = header.read_text()
    for lead in ("aVR", "aVL", "aVF"):
        text = text.replace(lead, lead.upper())
    header.write_text(f"{text}#{person}\n{patient}# PVCs, noise\n")


@pytest.fixture
def incart(tmp_path):
    disease = "Coronary artery disease, arterial hypertension, left ventricular hypertrophy"
    for name, patient, person in (
        ("I01", 1, "<age>: 65 <sex>: F <diagnoses> Coronary artery disease, arterial hypertension"),
        ("I02", 1, "<age>: 65 <sex>: F <diagnoses> Coronary artery disease, arterial hypertension"),
        ("I16", 8, "<age>: 58 <sex>: M"),
        ("I69", 29, f"<age>: 80 <sex>: M <diagnoses> {disease},"),
        ("I70", 30, "<age>: 18 <sex>: F <diagnoses> Earlier MI, hiccup"),
    ):
        write_incart(tmp_path, name, f"# patient {patient}\n", person)
    return tmp_path


def test_incart(incart):
    cohort = load(SetParams(reader="incart", root=incart), "unused")
    table = cohort.table.set_index("record_id")
    assert list(table.index) == ["incart-I01", "incart-I02", "incart-I16", "incart-I69", "incart-I70"]
    assert list(table["patient_id"]) == ["patient01", "patient01", "patient08", "patient29", "patient30"]
    assert list(table["age"]) == [65, 65, 58, 80, 18]
    assert list(table["sex"]) == ["female", "female", "male", "male", "female"]
    assert table.loc["incart-I16", list(cohort.targets)].isna().all()
    assert {t for t in cohort.targets if table.loc["incart-I69", t] == 1} == {"CAD", "HYPERTENSION", "LVH"}
    assert {t for t in cohort.targets if table.loc["incart-I70", t] == 1} == {"EARLIER_MI"}
    assert list(table.index[table["defect_action"] == "flag"]) == ["incart-I02", "incart-I69"]
    assert "1 recordings have no diagnosis code: their labels are unknown" in cohort.notes
    assert "1 codes without a label (number of recordings): hiccup (1)" in cohort.notes
    assert table.loc["incart-I01", "split"] == table.loc["incart-I02", "split"]
    assert read(incart / "I01").leads[3:6] == ("AVR", "AVL", "AVF")


def test_incart_without_patients_is_refused(incart):
    """The copy in the Challenge has no patients, so records of one patient could be in different splits."""
    write_incart(incart, "I03", "", "<age>: 65 <sex>: F")
    with pytest.raises(InputError, match=r"patient: 1 of 6 headers contain no patient number \(I03\)"):
        INCART(incart).cohort()
