"""Pages of the people's review: the desk, and what a lead sees."""
