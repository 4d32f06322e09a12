"""Writer for small DICOM ECG test files with made-up patient data in every field that can hold them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import numpy as np
from hospital_xml import PERSON
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

GENERAL_ECG = "1.2.840.10008.5.1.4.1.1.9.1.2"
CODES = {"I": 1, "II": 2, "III": 61, "aVR": 62, "aVL": 63, "aVF": 64} | {f"V{i}": i + 2 for i in range(1, 7)}
KINDS = {"SB": "i1", "UB": "u1", "SS": "i2", "US": "u2", "SL": "i4", "UL": "u4", "MB": "u1", "AB": "u1"}

Change = Callable[[Dataset], None]


def coded(value: str, scheme: str, meaning: str) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return Sequence([item])


def group(
    leads: Mapping[str, NDArray[np.integer]],
    *,
    label: str = "RHYTHM",
    originality: str = "ORIGINAL",
    rate: str = "500",
    kind: str = "SS",
    order: str = "<",
    unit: str = "uV",
    sensitivity: str = "2.5",
) -> Dataset:
    """Return one multiplex group."""
    rows = np.stack(list(leads.values()), axis=1)
    dtype = np.dtype(KINDS[kind]).newbyteorder(order)
    item = Dataset()
    item.WaveformOriginality, item.MultiplexGroupLabel, item.SamplingFrequency = originality, label, rate
    item.NumberOfWaveformChannels, item.NumberOfWaveformSamples = rows.shape[1], rows.shape[0]
    item.WaveformBitsAllocated, item.WaveformSampleInterpretation = 8 * dtype.itemsize, kind
    channels = []
    for name in leads:
        channel = Dataset()
        channel.ChannelSourceSequence = coded(f"2:{CODES[name]}", "MDC", f"Lead {name}")
        channel.ChannelSensitivity, channel.ChannelSensitivityCorrectionFactor = sensitivity, "1"
        channel.ChannelSensitivityUnitsSequence = coded(unit, "UCUM", "unit")
        channel.ChannelBaseline, channel.ChannelSampleSkew, channel.WaveformBitsStored = "0", "0", 8 * dtype.itemsize
        channel.FilterLowFrequency, channel.FilterHighFrequency = "0.05", "150"
        channels.append(channel)
    item.ChannelDefinitionSequence = Sequence(channels)
    data = rows.astype(dtype).tobytes()
    item.add_new("WaveformData", "OW" if dtype.itemsize > 1 else "OB", data + b"\0" * (len(data) % 2))
    return item


def dicom(
    *groups: Dataset, syntax: str = ExplicitVRLittleEndian, preamble: bool = True, change: Change | None = None
) -> bytes:
    """Return a file with these groups."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = GENERAL_ECG, "1.2.3.4"
    meta.TransferSyntaxUID = syntax
    plain = {"is_implicit_VR": UID(syntax).is_implicit_VR, "is_little_endian": UID(syntax).is_little_endian}
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128, **plain)
    dataset.SpecificCharacterSet, dataset.SOPClassUID, dataset.Modality = "ISO_IR 192", GENERAL_ECG, "ECG"
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyDate, dataset.AcquisitionDateTime = "20240229", "20240229120000"
    dataset.ReferringPhysicianName = dataset.OperatorsName = PERSON["technician"]
    dataset.PatientName, dataset.PatientID = f"{PERSON['family']}^{PERSON['given']}", PERSON["id"]
    dataset.PatientBirthDate, dataset.PatientSex, dataset.PatientAge = "19310415", "F", "093Y"
    dataset.Manufacturer, dataset.ManufacturerModelName, dataset.DeviceSerialNumber = "Maker", "EL250", PERSON["serial"]
    note = Dataset()
    note.UnformattedTextValue = PERSON["statement"]
    dataset.WaveformAnnotationSequence = Sequence([note])
    dataset.WaveformSequence = Sequence(groups)
    if change is not None:
        change(dataset)
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    data = out.getvalue()
    return data if preamble else data[132:]
