"""Everything that writes in the people's room."""
