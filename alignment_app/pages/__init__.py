"""View models and screen texts, one module per page or shared figure. They build on the selectors."""
