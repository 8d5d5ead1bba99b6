"""What the screens show: view-models and words, one module per page or shared picture, built on the selectors."""
