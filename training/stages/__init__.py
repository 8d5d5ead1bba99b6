"""The steps of the loop, one module each, as functions from rows to rows. Stages never import each other."""
