"""What happened: records, the log, the engine that makes a session, and the readers of it."""
