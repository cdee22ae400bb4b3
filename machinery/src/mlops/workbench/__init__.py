"""The workbench: JupyterLab, MLflow, PostgreSQL and an S3 store by one command, with Docker or without."""
