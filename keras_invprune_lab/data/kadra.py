"""The 40 tables of Kadra et al., by task or by name."""

from typing import NamedTuple


class Task(NamedTuple):
    """A classification task of OpenML.

    Attributes:
        task: Task id.
        data: Data id.
        name: Name of the data set.
    """

    task: int
    data: int
    name: str


# Task id, data id, name: Kadra et al. 2021, Well-tuned simple nets excel on tabular
# datasets (2106.11189). 60 % train, 20 % validation, 20 % test.
_TABLE = """
233088 31 credit-g
233090 2 anneal
233091 3 kr-vs-kp
233092 5 arrhythmia
233093 12 mfeat-factors
233094 54 vehicle
233096 1067 kc1
233099 1590 adult
233102 1509 walking-activity
233103 1489 phoneme
233104 1502 skin-segmentation
233106 1483 ldpa
233107 1486 nomao
233108 1468 cnae-9
233109 1464 blood-transfusion-service-center
233110 1461 bank-marketing
233112 40668 connect-4
233113 40685 shuttle
233114 23512 higgs
233115 40981 Australian
233116 40975 car
233117 40984 segment
233118 40996 Fashion-MNIST
233119 41027 jungle_chess_2pcs_raw_endgame_complete
233120 23517 numerai28.6
233121 40923 Devnagari-Script
233122 41169 helena
233123 41168 jannis
233124 41166 volkert
233126 41150 MiniBooNE
233130 41138 APSFailure
233131 41142 christine
233132 41163 dilbert
233133 41164 fabert
233134 41143 jasmine
233135 41146 sylvine
233137 41167 dionis
233142 42396 aloi
233143 42397 CreditCardFraudDetection
233146 42733 Click_prediction_small
"""


def _task(line) -> Task:
    task, data, name = line.split()
    return Task(int(task), int(data), name)


TASKS = tuple(_task(line) for line in _TABLE.split("\n") if line)


def find_task(identifier) -> Task | None:
    """Return the task of that name, task id or data id; None if there is none."""
    wanted = str(identifier).casefold()
    for task in TASKS:
        if wanted in (str(task.task), str(task.data), task.name.casefold()):
            return task
    return None
