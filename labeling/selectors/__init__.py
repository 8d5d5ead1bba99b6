"""Everything that reads in the people's room."""
