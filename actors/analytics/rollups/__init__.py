"""Events added up by day and hour, by a job."""
