"""Studies of other tools, brought into the record as finished jobs: read here, told over HTTP as any trials."""
