"""XGBoost, the baseline of tables."""

import json
from dataclasses import dataclass

import numpy as np

from keras_invprune.saving import replaced, write_json
from keras_invprune_lab.extras import needed
from keras_invprune_lab.methods.base import METHODS, Method, Trained, Work
from keras_invprune_lab.training.metrics import scores

# A small grid around the library's defaults; each stops early on validation rows.
GRID = [
    {"max_depth": depth, "learning_rate": rate, "subsample": share}
    for depth in (3, 6, 9)
    for rate in (0.05, 0.3)
    for share in (0.7, 1.0)
]
ROUNDS, PATIENCE = 1000, 50
TREES = 100_000  # at most, of which each round makes one for each class
TRIED, BEST = "settings.json", "best.ubj"


@dataclass(frozen=True)
class XGBoost(Method):
    """Boosts trees; chooses among the settings of `GRID`."""

    pruned = False

    def train(self, work: Work) -> Trained:
        """Try the settings, report the best."""
        validation, test, chosen = boost(work.job, work.part, work.data, work.show)
        found = {"chosen": chosen, "validation": validation, "test": test}
        return Trained(found, [])


METHODS["xgboost"] = XGBoost("XGBoost")


def boost(job, part, data, show):
    """Return the best of a small grid of XGBoost classifiers, by validation rows.

    If it is interrupted, it resumes with its next setting.

    Args:
        job: `Job`.
        part: Folder of the unfinished run.
        data: `Data` with validation rows.
        show: ``show(done, total)`` before the first and after each setting.

    Returns:
        (validation figures, test figures, the setting chosen).

    Raises:
        ImportError: If XGBoost is missing; names the extra.
    """
    with needed("bench", by="boosted trees"):
        import xgboost
    file = part / TRIED
    tried = json.loads(file.read_text()) if file.exists() else []
    show(len(tried), len(GRID))
    for setting in GRID[len(tried) :]:
        model = xgboost.XGBClassifier(
            n_estimators=min(ROUNDS, TREES // data.classes),
            early_stopping_rounds=PATIENCE,
            eval_metric="mlogloss" if data.classes > 2 else "logloss",
            random_state=job.seed,
            **setting,
        )
        validation = [(_flat(data.x_valid), data.y_valid)]
        model.fit(_flat(data.x_train), data.y_train, eval_set=validation, verbose=False)
        found = scores(_chances(model, data.x_valid), data.y_valid)
        chosen = {**setting, "rounds": model.best_iteration + 1}
        tried.append({"chosen": chosen, "validation": found})
        if _best(tried, job) is tried[-1]:
            with replaced(part / BEST) as new:
                model.save_model(new)
        write_json(file, tried)
        show(len(tried), len(GRID))
    best, model = _best(tried, job), xgboost.XGBClassifier()
    model.load_model(part / BEST)
    test = scores(_chances(model, data.x_test), data.y_test)
    return best["validation"], test, best["chosen"]


def _best(tried, job) -> dict:
    """Return the first of the highest."""
    return max(tried, key=lambda one: one["validation"][job.recipe.select])


def _chances(model, x) -> np.ndarray:
    return model.predict_proba(_flat(x))


def _flat(x) -> np.ndarray:
    return x.reshape(len(x), -1)
