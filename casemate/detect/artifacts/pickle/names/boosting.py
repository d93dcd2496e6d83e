"""Gradient boosting: XGBoost 1.x to 3.x, LightGBM 4.x, CatBoost 1.x: estimators and the boosters in them."""

from __future__ import annotations

NAMES: dict[str, str] = {
    "_catboost": "_CatBoost _PoolBase",
    "catboost.core": "CatBoost CatBoostClassifier CatBoostRanker CatBoostRegressor Pool",
    "lightgbm.basic": "Booster Dataset",
    "lightgbm.callback": "_EarlyStoppingCallback _LogEvaluationCallback _RecordEvaluationCallback",
    "lightgbm.engine": "CVBooster",
    "lightgbm.sklearn": "LGBMClassifier LGBMModel LGBMRanker LGBMRegressor",
    "xgboost._data_utils": "Categories",
    "xgboost.callback": "EarlyStopping EvaluationMonitor LearningRateScheduler",
    "xgboost.core": "Booster DMatrix QuantileDMatrix",
    "xgboost.data": "PandasTransformed",
    "xgboost.objective": "Objective TreeObjective",
    "xgboost.sklearn": "XGBClassifier XGBModel XGBRFClassifier XGBRFRegressor XGBRanker XGBRankerMixIn XGBRegressor",
}
