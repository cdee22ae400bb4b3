"""What a user would write without this project: load, fit, log with MLflow's defaults, register. For comparison."""

import sys

import mlflow
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

csv, store = sys.argv[1:]
rows = pd.read_csv(csv)
inputs, target = rows.drop(columns=["flower", "species"]), rows["species"]
x_train, x_test, y_train, y_test = train_test_split(inputs, target, test_size=0.3, random_state=0)
mlflow.set_tracking_uri(store)
mlflow.set_experiment("iris")
with mlflow.start_run():
    model = make_pipeline(StandardScaler(), PolynomialFeatures(3, include_bias=False), LogisticRegression(max_iter=2000))
    model.fit(x_train, y_train)
    mlflow.log_metric("macro_f1", f1_score(y_test, model.predict(x_test), average="macro"))
    mlflow.sklearn.log_model(model, name="model", input_example=x_train.head(3), registered_model_name="iris")
