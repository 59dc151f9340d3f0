"""What Stripe tells: events are kept as they came, and applied once each by a job."""
