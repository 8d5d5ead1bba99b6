"""Human review: queues, leases, reviews, adjudication, agreement."""
