"""Settings to a schedule, arrays to a posterior: compiled epochs."""
