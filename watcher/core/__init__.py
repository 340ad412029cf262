"""The vocabulary: records, errors, interfaces, settings, and pure rules. No I/O, no task."""
