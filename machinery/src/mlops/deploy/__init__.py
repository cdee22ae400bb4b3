"""From an image to an environment: targets, the contract that a service keeps, deployments and their log, rollback."""
