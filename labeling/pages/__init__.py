"""View-models and texts of the review pages, built on the selectors."""
