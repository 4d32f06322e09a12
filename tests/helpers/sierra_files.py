"""Writer for small Philips Sierra XML test files, plain or XLI-compressed, and a reference XLI decompressor."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import numpy as np
from hospital_xml import PERSON
from numpy.typing import NDArray


def sierra(
    leads: Mapping[str, NDArray[np.int16]],
    *,
    version: str = "1.03",
    rate: int = 500,
    resolution: str = "5",
    xli: bool = True,
    spare: int = 0,
) -> str:
    """Return a document of version 1.03 or 1.04.

    Args:
        leads: (samples,) for each of the twelve leads, in standard order.
        version: 1.03 stores rate and resolution in elements, 1.04 lists the leads in an attribute.
        rate: sampling rate in Hz.
        resolution: uV per step.
        xli: whether samples are compressed; limb leads other than I and II are then residuals.
        spare: number of additional channels without a name.
    """
    rows = [row.astype(np.int64) for row in leads.values()]
    rows += [np.zeros_like(rows[0])] * spare
    data = pack_xli(_residuals(rows)) if xli else np.stack(rows).astype("<i2").tobytes()
    milliseconds = len(rows[0]) * 1000 // rate
    compression = 'compressflag="True" compressmethod="XLI"' if xli else 'compressflag="False"'
    if version != "1.03":
        compression = 'compression="XLI"' if xli else 'compression="Uncompressed"'
        compression += f' leadlabels="{" ".join(leads)}" numberofleads="{len(leads)}" samplespersecond="{rate}"'
        compression += f' resolution="{resolution}"'
    encoded = base64.encodebytes(data).decode()
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<restingecgdata xmlns="http://www3.medical.philips.com">
 <documentinfo><documentname>{PERSON["id"]}.xml</documentname><documenttype>SierraECG</documenttype>
  <documentversion>{version}</documentversion></documentinfo>
 <dataacquisition date="2024-02-29" time="12:00:00"><machine machineid="{PERSON["serial"]}">PageWriter</machine>
  <acquirer><operatorid>{PERSON["technician"]}</operatorid></acquirer>
  <signalcharacteristics><samplingrate>{rate}</samplingrate><signalresolution>{resolution}</signalresolution>
   <acquisitiontype>STD-12</acquisitiontype><bitspersample>16</bitspersample><signaloffset>0</signaloffset>
   <signalsigned>True</signalsigned><numberchannelsallocated>{len(leads)}</numberchannelsallocated>
  </signalcharacteristics></dataacquisition>
 <patient><generalpatientdata><patientid>{PERSON["id"]}</patientid><name><lastname>{PERSON["family"]}</lastname>
  <firstname>{PERSON["given"]}</firstname></name><age><years>93</years></age><sex>Female</sex></generalpatientdata></patient>
 <interpretations><interpretation><statement><leftstatement>{PERSON["statement"]}</leftstatement></statement>
 </interpretation></interpretations>
 <waveforms><parsedwaveforms {compression} dataencoding="Base64" durationperchannel="{milliseconds}" nbitspersample="16">
{encoded}</parsedwaveforms></waveforms>
</restingecgdata>
"""


def _residuals(rows: list[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    one, two, three, avr, avl, avf = rows[:6]
    return [
        one,
        two,
        two - one - three,
        -avr - (one + two) // 2,
        (one - three) // 2 - avl,
        (two + three) // 2 - avf,
        *rows[6:],
    ]


def pack_xli(rows: list[NDArray[np.int64]]) -> bytes:
    """Return chunks of second differences, whose bytes are stored as single-byte LZW codes."""
    out = b""
    for row in rows:
        later = 2 * row[1:-1] - row[:-2] - row[2:]
        deltas = np.concatenate([row[:2], later[1:] + 64, [64]])
        words = deltas.astype(">i2").tobytes()
        bits = "".join(f"{byte:010b}" for byte in words[0::2] + words[1::2])
        bits += "0" * (-len(bits) % 8)
        codes = int(bits, 2).to_bytes(len(bits) // 8, "big")
        out += len(codes).to_bytes(4, "little") + b"\0\0" + int(later[0]).to_bytes(2, "little", signed=True) + codes
    return out


def unpack_xli(data: bytes) -> list[list[int]]:
    """Return the samples of each chunk, decompressed with a dictionary of byte strings, sample by sample."""
    rows, start = [], 0
    while start < len(data):
        size = int.from_bytes(data[start : start + 4], "little")
        last = int.from_bytes(data[start + 6 : start + 8], "little", signed=True)
        bits = "".join(f"{byte:08b}" for byte in data[start + 8 : start + 8 + size])
        start += 8 + size
        table, unpacked, previous = {code: bytes([code]) for code in range(256)}, b"", b""
        for place in range(0, len(bits) - 9, 10):
            code = int(bits[place : place + 10], 2)
            if code == 1023:
                break
            entry = table.get(code, previous + previous[:1])
            unpacked += entry
            if previous and len(table) < 1023:
                table[len(table)] = previous + entry[:1]
            previous = entry
        half = len(unpacked) // 2
        words = [(high << 8 | low) for high, low in zip(unpacked[:half], unpacked[half:], strict=True)]
        deltas = [word - 65536 if word > 32767 else word for word in words]
        row = deltas[:2]
        for delta in deltas[2:]:
            row.append(2 * row[-1] - row[-2] - last)
            last = delta - 64
        rows.append(row)
    return rows
