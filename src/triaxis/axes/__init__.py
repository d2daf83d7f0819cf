"""The three axes: what a model is trained on, how, and what it was before; none of them knows another."""
