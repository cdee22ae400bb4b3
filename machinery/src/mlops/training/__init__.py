"""Training: split → fit → evaluate → candidate; then the gate says whether the candidate may be registered."""
