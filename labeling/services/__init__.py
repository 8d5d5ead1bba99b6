"""Operations that change queues, assignments and reviews, and their effects on pairs and scores."""
