"""What the screens of the review show: view-models and words, built on the selectors."""
