"""Settings to a schedule, arrays to a posterior: one compiled call an epoch."""
