"""XGBoost, the baseline of tables."""

import numpy as np

from keras_invprune.experiments.bench.metrics import scores

# A small grid around the library's defaults; each stops early on validation rows.
GRID = [
    {"max_depth": depth, "learning_rate": rate, "subsample": share}
    for depth in (3, 6, 9)
    for rate in (0.05, 0.3)
    for share in (0.7, 1.0)
]
ROUNDS, PATIENCE = 1000, 50


def boost(job, data, show):
    """The best of a small grid of XGBoost classifiers, by validation rows.

    Args:
        job: `Job`.
        data: `Data` with validation rows.
        show: ``show(done, total)`` after each setting.

    Returns:
        (validation figures, test figures, the setting chosen).

    Raises:
        ImportError: XGBoost is missing; names the extra.
    """
    try:
        import xgboost
    except ImportError as error:
        raise ImportError(
            "The method 'xgboost' needs its library: pip install '.[bench]'."
        ) from error
    best = None
    for done, setting in enumerate(GRID, start=1):
        model = xgboost.XGBClassifier(
            n_estimators=ROUNDS,
            early_stopping_rounds=PATIENCE,
            eval_metric="mlogloss" if data.classes > 2 else "logloss",
            random_state=job.seed,
            **setting,
        )
        validation = [(_flat(data.x_valid), data.y_valid)]
        model.fit(_flat(data.x_train), data.y_train, eval_set=validation, verbose=False)
        found = scores(_chances(model, data.x_valid), data.y_valid)
        figure = found[job.recipe.select]
        if best is None or figure > best[0]:
            best = figure, found, model, setting
        show(done, len(GRID))
    _, validation, model, setting = best
    test = scores(_chances(model, data.x_test), data.y_test)
    return validation, test, {**setting, "rounds": model.best_iteration + 1}


def _chances(model, x) -> np.ndarray:
    return model.predict_proba(_flat(x))


def _flat(x) -> np.ndarray:
    return x.reshape(len(x), -1)
