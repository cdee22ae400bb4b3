"""Apache Spark, which is there with the extra `spark` and Java: a session, and feature pipelines that are fitted in it."""
