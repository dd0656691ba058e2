"""Connections of KDD Cup 1999, few of them attacks. Run as ``python -m examples.intrusion --data DIR``.

DIR holds ``kddcup.data_10_percent.gz``, or ``kdd99_10pct.tar.gz`` with it.
"""

from __future__ import annotations

import io
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from streamgauge.models.errors import InputError

from examples.play import Planted, Stream, main

ATTACKS = 300
FAMILIES = {
    "flooding": ("back", "land", "neptune", "pod", "smurf", "teardrop"),
    "probing": ("ipsweep", "nmap", "portsweep", "satan"),
    "intrusion": (
        "buffer_overflow",
        "ftp_write",
        "guess_passwd",
        "imap",
        "loadmodule",
        "multihop",
        "perl",
        "phf",
        "rootkit",
        "spy",
        "warezclient",
        "warezmaster",
    ),
}
PLAIN = {1: "protocol", 2: "service", 3: "flag", 41: "label"}


def connections(data: Path) -> pd.DataFrame:
    """The 10 % file. Fields have numbers as names."""
    plain = next(iter(sorted(data.rglob("kddcup.data_10_percent*"))), None)
    if plain is not None:
        return pd.read_csv(plain, header=None).rename(columns=PLAIN)
    archive = data / "kdd99_10pct.tar.gz"
    if not archive.is_file():
        raise InputError(f"{data} holds neither kddcup.data_10_percent.gz nor {archive.name}")
    with tarfile.open(archive) as tar:
        member = next(m for m in tar.getmembers() if "kddcup.data" in m.name)
        packed = tar.extractfile(member)
        assert packed is not None
        kind: Any = "gzip" if member.name.endswith(".gz") else None
        return pd.read_csv(io.BytesIO(packed.read()), header=None, compression=kind).rename(columns=PLAIN)


def stream(data: Path, seed: int = 0) -> Stream:
    """All normal connections in order, with 300 attacks at random places in the second half, equally many of each family."""
    random = np.random.default_rng(seed)
    frame = connections(data)
    label = frame["label"].str.rstrip(".")
    normal = frame[label == "normal"]
    family = {attack: name for name, attacks in FAMILIES.items() for attack in attacks}
    start = (int(time.time()) // 86_400 - 5) * 86_400_000
    places = np.sort(random.choice(np.arange(len(normal) // 2, len(normal)), ATTACKS, replace=False))
    attacks = pd.concat(
        [
            frame[label.map(family) == name].sample(ATTACKS // len(FAMILIES), random_state=seed, replace=True)
            for name in FAMILIES
        ]
    ).sample(frac=1.0, random_state=seed)
    numbers = [column for column in frame.columns if column not in PLAIN.values()]
    events: list[tuple[str, int, dict[str, Any]]] = []
    planted: list[Planted] = []
    attack_at = dict(zip(places.tolist(), attacks.to_dict("records"), strict=True))
    for place, row in enumerate(normal.to_dict("records")):
        for record in (row, attack_at.get(place)):
            if record is None:
                continue
            at = start + 2000 * place + 1000 * (record is not row)
            fields = {f"f{k}": float(record[k]) for k in numbers} | {
                "protocol": record["protocol"],
                "flag": record["flag"],
            }
            events.append((str(record["service"]), at, fields))
            if record is not row:
                planted.append(Planted(family[str(record["label"]).rstrip(".")], str(record["service"]), at, at + 2000))
    return Stream(events, planted, start + 2000 * (len(normal) // 4))


if __name__ == "__main__":
    main("intrusion", __doc__, stream, options=("data",))
