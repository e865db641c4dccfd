"""Dense truth about many small real trainings, kept in the repository, and what it says about our answers."""
