"""Small XML test files in the layouts of hospital systems, with made-up patient data in every field that can hold them."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ecgssl.signal.leads import LEADS

Leads = Mapping[str, NDArray[np.int16]]

PERSON = {
    "id": "ZQ4711-0815",
    "family": "Quetzalcoatlus",
    "given": "Wilhelmine",
    "birth": "04-15-1931",
    "technician": "Ximenes-Orderly",
    "statement": "SINUS RHYTHM WITH A SECRET",
    "date": "02-29-2024",
    "serial": "SN99887766",
}
"""Made-up patient data that must not appear in recordings or messages."""

EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")


def digital(names: Sequence[str] = LEADS, samples: int = 500, seed: int = 0) -> dict[str, NDArray[np.int16]]:
    """Return whole numbers for each lead; limb leads are derived from I and II, as in the devices."""
    rng = np.random.default_rng(seed)
    rows = {name: rng.integers(-600, 600, samples).astype(np.int16) for name in LEADS}
    rows["III"] = rows["II"] - rows["I"]
    return {name: rows[name] for name in names}


def muse(leads: Leads, *, rate: int = 500, per_bit: str = "4.88", units: str = "MICROVOLTS") -> str:
    """Return a GE MUSE file: a median beat first, then the rhythm strip."""
    beat = {name: (row[:60] // 2).astype(np.int16) for name, row in leads.items()}
    strips = [
        _muse_waveform("Median", beat, rate, per_bit, units),
        _muse_waveform("Rhythm", leads, rate, per_bit, units),
    ]
    return f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<!DOCTYPE RestingECG SYSTEM "restecg.dtd">
<RestingECG>
 <PatientDemographics><PatientID>{PERSON["id"]}</PatientID><PatientAge>93</PatientAge><AgeUnits>YEARS</AgeUnits>
  <DateofBirth>{PERSON["birth"]}</DateofBirth><Gender>FEMALE</Gender><PatientLastName>{PERSON["family"]}</PatientLastName>
  <PatientFirstName>{PERSON["given"]}</PatientFirstName></PatientDemographics>
 <TestDemographics><AcquisitionDevice>MAC55</AcquisitionDevice><AcquisitionDate>{PERSON["date"]}</AcquisitionDate>
  <CartNumber>{PERSON["serial"]}</CartNumber><AcquisitionTechLastName>{PERSON["technician"]}</AcquisitionTechLastName>
 </TestDemographics>
 <Diagnosis><DiagnosisStatement><StmtText>{PERSON["statement"]}</StmtText></DiagnosisStatement></Diagnosis>
{"".join(strips)}</RestingECG>
"""


def _muse_waveform(kind: str, leads: Leads, rate: int, per_bit: str, units: str) -> str:
    data = {name: row.astype("<i2").tobytes() for name, row in leads.items()}
    blocks = [
        f"""  <LeadData><LeadByteCountTotal>{len(one)}</LeadByteCountTotal><LeadTimeOffset>0</LeadTimeOffset>
   <LeadSampleCountTotal>{len(one) // 2}</LeadSampleCountTotal>
   <LeadAmplitudeUnitsPerBit>{per_bit}</LeadAmplitudeUnitsPerBit><LeadAmplitudeUnits>{units}</LeadAmplitudeUnits>
   <LeadID>{name}</LeadID><LeadOffsetFirstSample>0</LeadOffsetFirstSample><FirstSampleBaseline>0</FirstSampleBaseline>
   <LeadSampleSize>2</LeadSampleSize><LeadOff>FALSE</LeadOff><LeadDataCRC32>{zlib.crc32(one)}</LeadDataCRC32>
   <WaveFormData>
{base64.encodebytes(one).decode()}</WaveFormData></LeadData>
"""
        for name, one in data.items()
    ]
    return f""" <Waveform><WaveformType>{kind}</WaveformType><NumberofLeads>{len(leads)}</NumberofLeads>
  <SampleBase>{rate}</SampleBase><SampleExponent>0</SampleExponent><HighPassFilter>16</HighPassFilter>
  <LowPassFilter>150</LowPassFilter><ACFilter>NONE</ACFilter>
{"".join(blocks)} </Waveform>
"""


def aecg(leads: Leads, *, increment: str = 'value="2" unit="ms"', scale: str = "5", unit: str = "uV") -> str:
    """Return an HL7 annotated ECG with a namespace prefix: a representative beat, and the rhythm with a derived beat."""
    beat = {name: row[:60] // 2 for name, row in leads.items()}
    derived = (
        f"<h:derivation>{_series('derivedSeries', 'REPRESENTATIVE_BEAT', beat, increment, scale, unit)}</h:derivation>"
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<h:AnnotatedECG xmlns:h="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <h:id root="{PERSON["id"]}"/><h:effectiveTime><h:center value="{PERSON["date"]}"/></h:effectiveTime>
 <h:componentOf><h:timepointEvent><h:componentOf><h:subjectAssignment><h:subject><h:trialSubject>
  <h:id root="1.2" extension="{PERSON["id"]}"/><h:subjectDemographicPerson><h:name>{PERSON["family"]}</h:name>
  <h:administrativeGenderCode code="F"/><h:birthTime value="{PERSON["birth"]}"/></h:subjectDemographicPerson>
 </h:trialSubject></h:subject></h:subjectAssignment></h:componentOf></h:timepointEvent></h:componentOf>
 <h:controlVariable><h:relatedObservation><h:code code="21612-7"/><h:value xsi:type="PQ" value="93" unit="a"/>
 </h:relatedObservation></h:controlVariable>
 <h:component>{_series("series", "REPRESENTATIVE_BEAT", beat, increment, scale, unit)}</h:component>
 <h:component>{_series("series", "RHYTHM", leads, increment, scale, unit, derived)}</h:component>
</h:AnnotatedECG>
"""


def _series(tag: str, code: str, leads: Leads, increment: str, scale: str, unit: str, inner: str = "") -> str:
    sequences = [
        f"""<h:component><h:sequence><h:code code="MDC_ECG_LEAD_{name.upper()}"/><h:value xsi:type="SLIST_PQ">
 <h:origin value="0" unit="{unit}"/><h:scale value="{scale}" unit="{unit}"/><h:digits>{" ".join(map(str, row))}</h:digits>
</h:value></h:sequence></h:component>"""
        for name, row in leads.items()
    ]
    return f"""<h:{tag}><h:code code="{code}"/><h:author><h:seriesAuthor><h:manufacturedSeriesDevice>
  <h:id extension="{PERSON["serial"]}"/><h:manufacturerModelName>ELI250</h:manufacturerModelName>
 </h:manufacturedSeriesDevice></h:seriesAuthor></h:author>
 <h:secondaryPerformer><h:seriesPerformer><h:assignedPerson><h:name>{PERSON["technician"]}</h:name></h:assignedPerson>
 </h:seriesPerformer></h:secondaryPerformer>
 <h:controlVariable><h:controlVariable><h:code code="MDC_ECG_CTL_VBL_ATTR_FILTER_LOW_PASS"/><h:component>
  <h:controlVariable><h:code code="MDC_ECG_CTL_VBL_ATTR_FILTER_CUTOFF_FREQ"/><h:value value="150" unit="Hz"/>
 </h:controlVariable></h:component></h:controlVariable></h:controlVariable>
 <h:component><h:sequenceSet><h:component><h:sequence><h:code code="TIME_ABSOLUTE"/><h:value xsi:type="GLIST_TS">
  <h:head value="{PERSON["date"]}"/><h:increment {increment}/></h:value></h:sequence></h:component>
 {"".join(sequences)}</h:sequenceSet></h:component>{inner}</h:{tag}>"""


def cardiosoft(leads: Leads, *, rate: int = 500, resolution: str = "5", units: str = "uVperLsb") -> str:
    """Return a GE CardioSoft file: median samples first, then the strip."""

    def block(rows: Leads) -> str:
        waves = [
            f'<WaveformData lead="{name}">\n\t{",".join(map(str, row))}</WaveformData>' for name, row in rows.items()
        ]
        count = len(next(iter(rows.values())))
        return f"""<NumberOfLeads>{len(rows)}</NumberOfLeads><SampleRate units="Hz">{rate}</SampleRate>
  <ChannelSampleCountTotal>{count}</ChannelSampleCountTotal><Resolution units="{units}">{resolution}</Resolution>
  {"".join(waves)}"""

    beat = {name: row[:60] // 2 for name, row in leads.items()}
    return f"""<?xml version="1.0" encoding="ISO8859-1"?>
<CardiologyXML>
 <ObservationType>RestECG</ObservationType><ClinicalInfo><Technician><FamilyName>{PERSON["technician"]}</FamilyName>
 </Technician></ClinicalInfo>
 <PatientInfo><PID>{PERSON["id"]}</PID><Name><FamilyName>{PERSON["family"]}</FamilyName>
  <GivenName>{PERSON["given"]}</GivenName></Name><Age units="years">93</Age><Gender>Female</Gender></PatientInfo>
 <FilterSetting><CubicSpline>no</CubicSpline><Filter50Hz>yes</Filter50Hz><Filter60Hz>no</Filter60Hz>
  <LowPass units="Hz">100</LowPass></FilterSetting><Device-Type>CardioSoft</Device-Type>
 <Interpretation><Diagnosis><DiagnosisText>{PERSON["statement"]}</DiagnosisText></Diagnosis></Interpretation>
 <RestingECGMeasurements><MedianSamples>{block(beat)}</MedianSamples></RestingECGMeasurements>
 <StripData>{block(leads)}</StripData>
</CardiologyXML>
"""


SCHILLER = {
    # as an AT-110 with SEMA 2.64 writes them
    "AT-110": (
        "<samplerate><exponent>1</exponent><value>{rate}</value></samplerate>",
        "<yres><unitperbit>{yres}</unitperbit><units>{units}</units></yres>",
    ),
    "elements": (
        "<samplerate><units>HZ</units><value>{rate}</value></samplerate>",
        "<yres><units>{units}</units><value>{yres}</value></yres>",
    ),
    "unit": (
        "<samplerate><unit>Hz</unit><value>{rate}</value></samplerate>",
        "<yres><value>{yres}</value><unit>{units}</unit></yres>",
    ),
    "attributes": ('<samplerate units="Hz">{rate}</samplerate>', '<yres unit="{units}">{yres}</yres>'),
}
"""Layouts of sampling rate and resolution in Schiller files."""


def schiller(leads: Leads, *, rate: int = 1000, yres: str = "1", units: str = "uV", layout: str = "elements") -> str:
    """Return a Schiller SEMA EDI file: averaged beats first, then the rhythm leads."""
    samplerate, resolution = (part.format(rate=rate, yres=yres, units=units) for part in SCHILLER[layout])

    def block(kind: str, rows: Leads) -> str:
        channels = [
            f"<channel><name>{name}</name><data>{','.join(map(str, row))},</data><datastype>COMMASEPARATE</datastype>"
            f"<samplecount>{len(row)}</samplecount></channel>"
            for name, row in rows.items()
        ]
        return f"""<wavedata><type>{kind}</type><resolution>{samplerate}
 {resolution}</resolution>{"".join(channels)}</wavedata>"""

    beat = {name: row[:60] // 2 for name, row in leads.items()}
    root = "com.xiriuz.sema.xml.schillerEDI.SchillerEDI"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<{root}><patdata><id>{PERSON["id"]}</id><lastname>{PERSON["family"]}</lastname><firstname>{PERSON["given"]}</firstname>
 <birthdate>{PERSON["birth"]}</birthdate><gender>FEMALE</gender></patdata>
<examdescript><startdatetime><date>{PERSON["date"]}</date></startdatetime><aquiringdevice><hardware><model>AT-102</model>
 <serial>{PERSON["serial"]}</serial></hardware></aquiringdevice></examdescript>
<eventdata><event>{block("ECG_AVERAGES", beat)}{block("ECG_RHYTHMS", leads)}</event></eventdata></{root}>
"""


def mortara(leads: Leads, *, rate: int = 1000, per_millivolt: str = "400") -> str:
    """Return a Mortara ELI file: the typical cycle first, then the channels."""

    def block(tag: str, rows: Leads, more: str) -> str:
        return "".join(
            f'<{tag} NAME="{name}" {more} DATA="{base64.b64encode(row.astype("<i2").tobytes()).decode()}"/>\n'
            for name, row in rows.items()
        )

    beat = {name: (row[:60] // 2).astype(np.int16) for name, row in leads.items()}
    count = len(next(iter(leads.values())))
    kind = f'UNITS_PER_MV="{per_millivolt}" SAMPLE_FREQ="{rate}" BITS="16" FORMAT="SIGNED" ENCODING="BASE64"'
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<ECG ACQUISITION_TIME="20240229120000" AGE="93" AGE_UNITS="YEARS" TECHNICIAN="{PERSON["technician"]}">
<SUBJECT LAST_NAME="{PERSON["family"]}" FIRST_NAME="{PERSON["given"]}" ID="{PERSON["id"]}" GENDER="Female" DOB="19310415"/>
<SOURCE MANUFACTURER="Mortara" MODEL="ELI280" ACQUIRING_DEVICE_SERIAL_NUMBER="{PERSON["serial"]}"/>
<AUTOMATIC_INTERPRETATION><STATEMENT TEXT="{PERSON["statement"]}"/></AUTOMATIC_INTERPRETATION>
<TYPICAL_CYCLE {kind}>{block("TYPICAL_CYCLE_CHANNEL", beat, "")}</TYPICAL_CYCLE>
{block("CHANNEL", leads, f'{kind} OFFSET="0" DURATION="{count}"')}</ECG>
"""
