"""What a language model would decide: shown to the moderator who does, and to nobody else."""
