"""The scikit-learn contract around `emtdamp.training`; `emtdamp` itself has the names."""
