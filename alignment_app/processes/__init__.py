"""The processes of one machine: embedded Valkey, web, workers, monitor, and the supervisor that restarts them."""
