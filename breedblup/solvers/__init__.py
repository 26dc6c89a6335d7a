"""A x = b: a sparse Cholesky factor, preconditioned conjugate gradients, and the rank of a semi-definite matrix.

Solvers know matrices and equations by number; whoever calls them names the equations.
"""
