"""What tests of several packages share: rows, people, servers and runs. Test modules import from here alone."""
