"""One module a step of the loop: takes rows, yields rows. Stages never import each other."""
