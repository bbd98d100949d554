"""The 40 tables of Kadra et al., by task or by name, with published accuracies."""

import difflib
from typing import NamedTuple


class Task(NamedTuple):
    """A classification task of OpenML.

    Attributes:
        task: Task id.
        data: Data id.
        name: Name of the data set.
        xgboost: Published balanced accuracy of XGBoost, in percent.
        tabnet: That of TabNet.
        cocktail: That of the regularised MLP ("MLP+C").
    """

    task: int
    data: int
    name: str
    xgboost: float
    tabnet: float
    cocktail: float


# Task id, data id, name, then the columns XGBoost, TabNet, MLP+C as they stand in the
# authors' code of 2309.08171, which took them from Kadra et al. 2021, Well-tuned simple
# nets excel on tabular datasets (2106.11189). 60 % train, 20 % validation, 20 % test.
_TABLE = """
233088 31 credit-g 68.929 61.190 74.643
233090 2 anneal 85.416 84.248 89.270
233091 3 kr-vs-kp 99.850 93.250 99.850
233092 5 arrhythmia 48.779 43.562 61.461
233093 12 mfeat-factors 98.000 97.250 98.000
233094 54 vehicle 74.973 79.654 82.576
233096 1067 kc1 66.846 52.517 74.381
233099 1590 adult 79.824 77.155 82.443
233102 1509 walking-activity 61.616 56.801 63.923
233103 1489 phoneme 87.972 86.824 86.619
233104 1502 skin-segmentation 99.968 99.961 99.953
233106 1483 ldpa 99.008 54.815 68.107
233107 1486 nomao 96.872 95.425 96.826
233108 1468 cnae-9 94.907 89.352 95.833
233109 1464 blood-transfusion-service-center 62.281 64.327 67.617
233110 1461 bank-marketing 72.658 70.639 85.993
233112 40668 connect-4 72.374 72.045 80.073
233113 40685 shuttle 98.563 88.017 99.948
233114 23512 higgs 72.944 72.036 73.546
233115 40981 Australian 89.717 85.278 87.088
233116 40975 car 92.376 98.701 99.587
233117 40984 segment 93.723 91.775 93.723
233118 40996 Fashion-MNIST 91.243 89.793 91.950
233119 41027 jungle_chess_2pcs_raw_endgame_complete 87.325 73.425 97.471
233120 23517 numerai28.6 52.363 51.599 52.668
233121 40923 Devnagari-Script 93.310 94.179 98.370
233122 41169 helena 21.994 19.032 27.701
233123 41168 jannis 55.225 56.214 65.287
233124 41166 volkert 64.170 59.409 71.667
233126 41150 MiniBooNE 94.024 62.173 94.015
233130 41138 APSFailure 88.825 51.444 92.535
233131 41142 christine 74.815 69.649 74.262
233132 41163 dilbert 99.106 97.608 99.049
233133 41164 fabert 70.098 62.277 69.183
233134 41143 jasmine 80.546 76.690 79.217
233135 41146 sylvine 95.509 83.595 94.045
233137 41167 dionis 91.222 83.960 94.010
233142 42396 aloi 95.338 93.589 97.175
233143 42397 CreditCardFraudDetection 90.303 85.705 92.531
233146 42733 Click_prediction_small 58.361 50.163 64.280
"""


def _task(line) -> Task:
    task, data, name, *published = line.split()
    return Task(int(task), int(data), name, *map(float, published))


TASKS = tuple(_task(line) for line in _TABLE.split("\n") if line)


def find_task(identifier) -> Task | None:
    """The task of that name, task id or data id; None if it is none of the 40."""
    wanted = str(identifier).casefold()
    for task in TASKS:
        if wanted in (str(task.task), str(task.data), task.name.casefold()):
            return task
    return None


def near_names(identifier) -> list[str]:
    """Names among the 40 that look like `identifier`."""
    names = {task.name.casefold(): task.name for task in TASKS}
    near = difflib.get_close_matches(str(identifier).casefold(), names, n=3)
    return [names[name] for name in near]
