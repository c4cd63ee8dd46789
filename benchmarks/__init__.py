"""How fast EM-TDAMP is: measured side by side in one process, reported as ratios, never asserted.

`python -m benchmarks` writes sweeps/speed.csv; `pytest benchmarks` prints pytest-benchmark's table
of the epochs, to compare two versions of the code with.
"""
