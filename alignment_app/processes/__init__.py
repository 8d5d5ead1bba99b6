"""The processes of one machine: embedded Valkey, web, workers, tender, and the supervisor that keeps them alive."""
