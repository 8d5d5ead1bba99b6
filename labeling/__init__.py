"""The people: queues, leases, reviews, adjudication, agreement."""
