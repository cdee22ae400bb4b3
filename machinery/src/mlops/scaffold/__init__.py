"""From a file to a use case: read → understand → choose → write. What it writes is plain and belongs to the team."""
