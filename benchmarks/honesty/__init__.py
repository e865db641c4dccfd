"""Whether what we tell people is true: jobs played over kept trainings, and judged by the dense truth."""
